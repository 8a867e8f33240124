using System.Text;

namespace Mesh.Cli.Output;

/// <summary>
/// Columns padded to their widest cell, two spaces apart, no lines and no colours: reads well, and greps and cuts well.
/// Owned by one command.
/// </summary>
internal sealed class Table(params string[] header)
{
    private readonly List<string[]> _rows = [header];

    /// <summary>Adds a row; an empty cell is shown as a dash.</summary>
    public void Add(params string[] cells) => _rows.Add([.. cells.Select(c => c.Length == 0 ? "-" : c)]);

    /// <summary>The whole table, each line ended.</summary>
    public override string ToString()
    {
        var widths = Enumerable.Range(0, header.Length).Select(column => _rows.Max(row => row[column].Length)).ToArray();
        var text = new StringBuilder();
        foreach (var row in _rows)
        {
            for (var i = 0; i < row.Length - 1; i++)
                text.Append(row[i].PadRight(widths[i] + 2));
            text.Append(row[^1]).Append('\n');
        }

        return text.ToString();
    }
}

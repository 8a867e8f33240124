using System.Globalization;

namespace Mesh.Cli.Running;

/// <summary>A process as a file can name it: its number and when it started, since numbers are used again. Immutable.</summary>
internal readonly record struct ProcessMark(int Id, string Started)
{
    private const int StartTime = 19; // Of the words behind the name in /proc/ID/stat.

    /// <summary>The process of this number; null when there is none.</summary>
    public static ProcessMark? Of(int id)
    {
        try
        {
            // The name is in brackets and may have any letters, brackets included.
            var words = File.ReadAllText($"/proc/{id}/stat");
            var behind = words[(words.LastIndexOf(')') + 2)..].Split(' ');
            return behind[0] is "Z" or "X" ? null : new ProcessMark(id, behind[StartTime]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Reads what <see cref="ToString"/> wrote; null for anything else.</summary>
    public static ProcessMark? Parse(string text) =>
        text.Split(' ') is [var id, var started] && int.TryParse(id, CultureInfo.InvariantCulture, out var number) ? new ProcessMark(number, started) : null;

    /// <summary>The processes that were started with this variable in their environment.</summary>
    public static IReadOnlyList<int> WithVariable(string name, string value)
    {
        var wanted = $"{name}={value}";
        List<int> found = [];
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out var id))
                continue;
            try
            {
                if (File.ReadAllText(Path.Combine(folder, "environ")).Split('\0').Contains(wanted))
                    found.Add(id);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It has ended meanwhile.
            }
        }

        return found;
    }

    /// <summary>True while it runs.</summary>
    public bool IsAlive => Of(Id) == this;

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Id} {Started}");
}

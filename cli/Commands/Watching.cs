using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Mesh.Cli.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary>The options and the loop of the commands that show traffic, once or again every second. Owned by one command.</summary>
internal sealed class Watching
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);
    private readonly OperatorsOptions _operators = new();
    private readonly Option<OutputFormat> _format = Report.FormatOption();
    private readonly Option<bool> _watch = new("--watch", "-w") { Description = "show it again every second until Ctrl-C" };
    private readonly Option<string> _window = new("--window")
    {
        Description = "the time looked back on, 1s to 10m",
        HelpName = "TIME",
        DefaultValueFactory = _ => "10s",
    };

    public void AddTo(Command command)
    {
        _operators.AddTo(command);
        command.Add(_format);
        command.Add(_watch);
        command.Add(_window);
    }

    /// <summary>Asks and prints; a terminal is redrawn in place, a pipe gets one answer after the other.</summary>
    public async Task<int> RunAsync<T>(
        ParseResult parsed, string path, JsonTypeInfo<T> type, Func<T, string> table, CancellationToken cancellation)
    {
        using var client = _operators.Open(parsed);
        var query = $"{path}?window={Uri.EscapeDataString(parsed.GetRequiredValue(_window))}";
        var format = parsed.GetValue(_format);
        if (!parsed.GetValue(_watch))
        {
            await Console.Out.WriteAsync(Report.Of(await client.GetAsync(query, type, cancellation), format, type, table));
            return 0;
        }

        var redraw = format == OutputFormat.Table && !Console.IsOutputRedirected;
        while (true)
        {
            var answer = await client.GetAsync(query, type, cancellation);
            // A watched JSON stream has one answer a line, for jq and the like.
            var text = format == OutputFormat.Json ? JsonSerializer.Serialize(answer, type) + "\n" : Report.Of(answer, format, type, table);
            await Console.Out.WriteAsync(redraw ? "\e[H\e[J" + text : text);
            await Console.Out.FlushAsync(cancellation);
            await Task.Delay(Period, TimeProvider.System, cancellation);
        }
    }
}

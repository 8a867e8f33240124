using System.CommandLine;
using Mesh.Api.Identity;
using Mesh.Api.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl edges</c>: who calls whom, and how it goes.</summary>
internal static class EdgesCommand
{
    public static Command Make()
    {
        var watching = new Watching();
        var command = new Command("edges", "Shows who calls whom, with success, rate and latency.");
        watching.AddTo(command);
        command.SetAction((parsed, cancellation) =>
            watching.RunAsync(parsed, OperatorsApi.Edges, OperatorsJson.Default.EdgeList, Table, cancellation));
        return command;
    }

    internal static string Table(EdgeList list)
    {
        if (list.Edges.Count == 0)
            return $"No traffic in the last {list.WindowSeconds:0.#} s.\n";
        var table = new Table("SRC", "DST", "SRC_NS", "DST_NS", "SECURED", "SUCCESS", "RPS", "P50", "P95", "P99", "SRC_ID", "DST_ID");
        foreach (var edge in list.Edges)
        {
            table.Add([Name(edge.Source), Name(edge.Destination), edge.Source.Namespace, edge.Destination.Namespace,
                edge.Secured ? "yes" : "no", .. Figures.Signals(edge.Traffic), Id(edge.Source), Id(edge.Destination)]);
        }

        return table.ToString();
    }

    /// <summary>The path of the ID: the trust domain is the same everywhere, and in -o json.</summary>
    private static string Id(EdgeEnd end) =>
        SpiffeId.TryParse(end.Identity, out var id, out _) && id.Path.Length > 1 ? id.Path[1..] : end.Identity;

    /// <summary>The workload, or what else is known; with its version, so that a canary is told from the rest.</summary>
    private static string Name(EdgeEnd end)
    {
        var name = end.Workload.Length > 0 ? end.Workload : end.Service.Length > 0 ? end.Service : "unknown";
        var versioned = end.Version is "" or "unknown" || name.EndsWith("-" + end.Version, StringComparison.Ordinal);
        return versioned ? name : $"{name} {end.Version}";
    }
}

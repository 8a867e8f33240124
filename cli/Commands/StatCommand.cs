using System.CommandLine;
using Mesh.Api.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl stat</c>: the golden signals of each service.</summary>
internal static class StatCommand
{
    public static Command Make()
    {
        var watching = new Watching();
        var command = new Command("stat", "Shows success, rate and latency of each service, as its sidecars saw it.");
        watching.AddTo(command);
        command.SetAction((parsed, cancellation) =>
            watching.RunAsync(parsed, OperatorsApi.Stat, OperatorsJson.Default.StatList, Table, cancellation));
        return command;
    }

    internal static string Table(StatList list)
    {
        if (list.Services.Count == 0)
            return "No services are known.\n";
        var table = new Table("NAME", "NAMESPACE", "MESHED", "SUCCESS", "RPS", "LATENCY_P50", "LATENCY_P95", "LATENCY_P99", "TCP_CONN");
        foreach (var service in list.Services)
        {
            table.Add([service.Name, service.Namespace, $"{service.Meshed}/{service.Total}",
                .. Figures.Signals(service.Traffic), Figures.Count(service.Traffic?.TcpConnections ?? 0)]);
        }

        return table.ToString();
    }
}

using System.CommandLine;
using Mesh.Api.Operators;
using Mesh.Cli.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl nodes</c>: who is connected, and how far each one's configuration is.</summary>
internal static class NodesCommand
{
    public static Command Make()
    {
        var operators = new OperatorsOptions();
        var format = Report.FormatOption();
        var command = new Command("nodes", "Lists the sidecars and other xDS clients that are connected.") { format };
        operators.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = operators.Open(parsed);
            var nodes = await client.GetAsync(OperatorsApi.Nodes, OperatorsJson.Default.NodeList, cancellation);
            await Console.Out.WriteAsync(Report.Of(
                nodes, parsed.GetValue(format), OperatorsJson.Default.NodeList, n => Table(n, TimeProvider.System.GetUtcNow())));
            return 0;
        });
        return command;
    }

    internal static string Table(NodeList list, DateTimeOffset now)
    {
        if (list.Nodes.Count == 0)
            return "No nodes are connected.\n";
        var table = new Table("NODE", "SERVICE", "NAMESPACE", "VERSION", "CLIENT", "AGE", "CONFIG");
        foreach (var node in list.Nodes)
            table.Add(node.Id, node.Service, node.Namespace, node.Version, node.UserAgent, Figures.Age(node.ConnectedSince, now), State(node));
        return table.ToString() + Refusals(list);
    }

    private static string State(NodeStatus node) => node.Subscriptions switch
    {
        [] => "nothing asked for",
        var all when all.Any(s => s.Nacked.Length > 0) => "REFUSED " + string.Join(',', all.Where(s => s.Nacked.Length > 0).Select(s => s.Type)),
        var all when all.All(s => s.Sent == s.Acked) => "in sync",
        var all => "waiting for " + string.Join(',', all.Where(s => s.Sent != s.Acked).Select(s => s.Type)),
    };

    private static string Refusals(NodeList list) => string.Concat(
        from node in list.Nodes
        from subscription in node.Subscriptions
        where subscription.Nacked.Length > 0
        select $"\n{node.Id} refused {subscription.Type} {subscription.Nacked}: {subscription.Error}\n");
}

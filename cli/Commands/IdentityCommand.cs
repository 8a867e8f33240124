using System.CommandLine;
using Mesh.Api.Operators;
using Mesh.Cli.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl identity</c>: who is who in the mesh, and certificates for programs without a sidecar.</summary>
internal static class IdentityCommand
{
    public static Command Make() => new("identity", "Who is who in the mesh: certificates, revocations, and identities for programs without a sidecar.")
    {
        List(),
        Show(),
        AgentCommands.Fetch(),
        AgentCommands.Serve(),
        RevocationCommands.Revoke(),
        RevocationCommands.Unrevoke(),
        RevocationCommands.List(),
    };

    private static Command List()
    {
        var format = Report.FormatOption();
        var operators = new OperatorsOptions();
        var command = new Command("list", "Lists the identities that hold certificates of this mesh.") { format };
        operators.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = operators.Open(parsed);
            var list = await client.GetAsync(OperatorsApi.Identities, OperatorsJson.Default.IdentityList, cancellation);
            await Console.Out.WriteAsync(Report.Of(
                list, parsed.GetValue(format), OperatorsJson.Default.IdentityList, l => Table(l, TimeProvider.System.GetUtcNow())));
            return 0;
        });
        return command;
    }

    private static Command Show()
    {
        var node = new Argument<string>("NODE") { Description = "a node id, workload id or service, as `meshctl nodes` shows them; or an identity" };
        var format = Report.FormatOption();
        var operators = new OperatorsOptions();
        var command = new Command("show", "Shows the identity of a node, what it may serve and its certificates.") { node, format };
        operators.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = operators.Open(parsed);
            var found = await FindAsync(client, parsed.GetRequiredValue(node), cancellation);
            await Console.Out.WriteAsync(Report.Of(
                found, parsed.GetValue(format), OperatorsJson.Default.IdentityStatus, i => Text(i, TimeProvider.System.GetUtcNow())));
            return 0;
        });
        return command;
    }

    private static async Task<IdentityStatus> FindAsync(OperatorsClient client, string name, CancellationToken cancellation)
    {
        var list = await client.GetAsync(OperatorsApi.Identities, OperatorsJson.Default.IdentityList, cancellation);
        if (list.Identities.FirstOrDefault(i => i.Id == name || i.Id == $"spiffe://{list.TrustDomain}/{name}") is { } named) return named;
        var nodes = await client.GetAsync(OperatorsApi.Nodes, OperatorsJson.Default.NodeList, cancellation);
        var node = nodes.Nodes.Where(n => n.Id == name || n.Workload == name || n.Service == name).MaxBy(n => n.ConnectedSince)
            ?? throw new CliException($"no node and no identity '{name}' is known: `meshctl nodes` lists the one, `meshctl identity list` the other");
        if (node.Identity.Length == 0)
            throw new CliException($"{node.Id} is connected without a certificate (plaintext xDS): it has no identity");
        return list.Identities.FirstOrDefault(i => i.Id == node.Identity) ?? new IdentityStatus { Id = node.Identity, Nodes = [node.Id] };
    }

    internal static string Table(IdentityList list, DateTimeOffset now)
    {
        if (list.Identities.Count == 0) return "No identity holds a certificate.\n";
        var table = new Table("IDENTITY", "SERVES", "NODES", "RENEWED", "EXPIRES", "STATE");
        foreach (var identity in list.Identities)
        {
            var newest = identity.Certificates.Count > 0 ? identity.Certificates[0] : null;
            table.Add(identity.Id, string.Join(',', identity.Serves), Figures.Count(identity.Nodes.Count),
                newest is null ? "" : Figures.Age(newest.NotBefore, now) + " ago", newest is null ? "" : Left(newest.NotAfter, now), State(identity, now));
        }

        return table.ToString();
    }

    internal static string Text(IdentityStatus identity, DateTimeOffset now)
    {
        var head = $"{identity.Id}\nstate   {State(identity, now)}\nserves  {OrDash(identity.Serves)}\nnodes   {OrDash(identity.Nodes)}\n";
        if (identity.Certificates.Count == 0) return head;
        var table = new Table("SERIAL", "ISSUED", "EXPIRES", "PROVED BY", "FROM");
        foreach (var certificate in identity.Certificates)
        {
            table.Add(certificate.Serial, Figures.Age(certificate.NotBefore, now) + " ago", Left(certificate.NotAfter, now), certificate.Method, certificate.Address);
        }

        return head + "\n" + table;
    }

    private static string OrDash(IReadOnlyList<string> names) => names.Count == 0 ? "-" : string.Join(", ", names);

    private static string Left(DateTimeOffset notAfter, DateTimeOffset now) =>
        notAfter <= now ? Figures.Age(notAfter, now) + " ago" : "in " + Figures.Age(now, notAfter);

    private static string State(IdentityStatus identity, DateTimeOffset now) => identity switch
    {
        { Revoked: true } => "REVOKED",
        { Certificates: [{ NotAfter: var end }, ..] } when end <= now => "expired",
        _ => "good",
    };
}

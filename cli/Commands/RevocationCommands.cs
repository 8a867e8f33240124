using System.CommandLine;
using Mesh.Api.Operators;
using Mesh.Cli.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl identity revoke | unrevoke | revocations</c>: who is no longer believed.</summary>
internal static class RevocationCommands
{
    public static Command Revoke()
    {
        var identity = Identity();
        var reason = new Option<string>("--reason") { Description = "why, for those who list it later", DefaultValueFactory = _ => "" };
        return Make("revoke", "Ends every connection of an identity on all sidecars within 30 s; it gets no new certificate.", [identity], [reason],
            (client, parsed, cancellation) => client.PostAsync(
                OperatorsApi.Revocations, new RevocationRequest(parsed.GetRequiredValue(identity), parsed.GetValue(reason) ?? ""),
                OperatorsJson.Default.RevocationRequest, OperatorsJson.Default.RevocationList, cancellation));
    }

    public static Command Unrevoke()
    {
        var identity = Identity();
        return Make("unrevoke", "Takes a revocation back: the identity is believed again and may get certificates.", [identity], [],
            (client, parsed, cancellation) => client.DeleteAsync(
                $"{OperatorsApi.Revocations}?identity={Uri.EscapeDataString(parsed.GetRequiredValue(identity))}", OperatorsJson.Default.RevocationList, cancellation));
    }

    public static Command List() => Make("revocations", "Lists the revoked identities.", [], [],
        (client, _, cancellation) => client.GetAsync(OperatorsApi.Revocations, OperatorsJson.Default.RevocationList, cancellation));

    internal static string Table(RevocationList list, DateTimeOffset now)
    {
        if (list.Revocations.Count == 0) return "No identity is revoked.\n";
        var table = new Table("IDENTITY", "REVOKED", "REASON");
        foreach (var revocation in list.Revocations)
            table.Add(revocation.Identity, Figures.Age(revocation.Since, now) + " ago", revocation.Reason);
        return table.ToString();
    }

    private static Argument<string> Identity() => new("ID") { Description = "the identity: ns/NAMESPACE/sa/ACCOUNT or the whole SPIFFE ID" };

    private static Command Make(
        string name, string description, Argument[] arguments, Option[] options,
        Func<OperatorsClient, ParseResult, CancellationToken, Task<RevocationList>> ask)
    {
        var format = Report.FormatOption();
        var operators = new OperatorsOptions();
        var command = new Command(name, description);
        foreach (var argument in arguments) command.Add(argument);
        foreach (var option in options) command.Add(option);
        command.Add(format);
        operators.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = operators.Open(parsed);
            var list = await ask(client, parsed, cancellation);
            await Console.Out.WriteAsync(Report.Of(
                list, parsed.GetValue(format), OperatorsJson.Default.RevocationList, l => Table(l, TimeProvider.System.GetUtcNow())));
            return 0;
        });
        return command;
    }
}

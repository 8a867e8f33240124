using System.CommandLine;
using Mesh.Api.Operators;
using Mesh.Cli.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl ca</c>: the certificate authority's state and the rotation of its root.</summary>
internal static class AuthorityCommand
{
    private static readonly TimeSpan Poll = TimeSpan.FromSeconds(1);

    public static Command Make() => new("ca", "The certificate authority.") { Status(), Rotate() };

    private static Command Status()
    {
        var format = Report.FormatOption();
        var operators = new OperatorsOptions();
        var command = new Command("status", "Shows roots, issuers, when they end, and what needs attention.") { format };
        operators.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = operators.Open(parsed);
            var status = await client.GetAsync(OperatorsApi.Authority, OperatorsJson.Default.AuthorityStatus, cancellation);
            await Console.Out.WriteAsync(Report.Of(
                status, parsed.GetValue(format), OperatorsJson.Default.AuthorityStatus, s => Text(s, TimeProvider.System.GetUtcNow())));
            return 0;
        });
        return command;
    }

    private static Command Rotate()
    {
        var rehearse = new Option<bool>("--rehearse") { Description = "only say how it would go, how long it would take and who would hold it up" };
        var force = new Option<bool>("--force") { Description = "do not wait any longer for those who hold the present phase up; what they show or expect is refused then" };
        var noWait = new Option<bool>("--no-wait") { Description = "start it and return; `meshctl ca status` shows how far it is" };
        var operators = new OperatorsOptions();
        var command = new Command("rotate",
            "Replaces the root without a failed request: adds the new one, waits until every node believes it, switches the issuer, drops the old one. Goes on with a rotation that was interrupted.")
        {
            rehearse, force, noWait,
        };
        operators.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = operators.Open(parsed);
            var status = await client.PostAsync(OperatorsApi.Rotation, new RotationRequest(parsed.GetValue(rehearse), parsed.GetValue(force)),
                OperatorsJson.Default.RotationRequest, OperatorsJson.Default.AuthorityStatus, cancellation);
            return await FollowAsync(client, status, !parsed.GetValue(noWait), cancellation);
        });
        return command;
    }

    /// <summary>Prints each change until it has ended. Ctrl-C ends the watching, not the rotation.</summary>
    private static async Task<int> FollowAsync(OperatorsClient client, AuthorityStatus status, bool wait, CancellationToken cancellation)
    {
        var said = "";
        while (true)
        {
            var rotation = status.Rotation ?? throw new CliException($"the control plane at {client.Address} knows of no rotation");
            var line = Line(rotation);
            if (line != said) await Console.Out.WriteLineAsync(said = line);
            if (!wait) return 0;
            if (rotation.Done) return rotation.Phase == "failed" ? 1 : 0;
            await Task.Delay(Poll, TimeProvider.System, cancellation);
            status = await client.GetAsync(OperatorsApi.Authority, OperatorsJson.Default.AuthorityStatus, cancellation);
        }
    }

    internal static string Text(AuthorityStatus status, DateTimeOffset now)
    {
        var table = new Table("ROLE", "SUBJECT", "SHA-256", "SINCE", "EXPIRES", "USE");
        foreach (var (role, certificate) in status.Roots.Select(r => ("root", r)).Concat(status.Issuers.Select(i => ("issuer", i))))
        {
            table.Add(role, certificate.Subject, certificate.Sha256, Figures.Age(certificate.NotBefore, now) + " ago",
                certificate.NotAfter <= now ? "EXPIRED" : "in " + Figures.Age(now, certificate.NotAfter), certificate.Active ? "issues" : "believed");
        }

        return $"trust domain          {status.TrustDomain}\nkeys                  {status.Store}\n" +
            $"certificate lifetime  {Figures.Age(now, now.AddSeconds(status.CertificateLifetimeSeconds))}\n" +
            (status.Rotation is { } rotation ? $"rotation              {Line(rotation)}\n" : "") +
            $"\n{table}" + string.Concat(status.Warnings.Select(w => $"\nWARNING: {w}\n"));
    }

    private static string Line(RotationStatus rotation) =>
        $"{(rotation.Rehearsal ? "rehearsal: " : "")}{rotation.Phase}" + (rotation.Text.Length > 0 ? $": {rotation.Text}" : "") +
        rotation.WaitingFor.Count switch
        {
            0 => "",
            <= 5 => $" (waiting for {string.Join(", ", rotation.WaitingFor)})",
            var n => $" (waiting for {n} nodes, {rotation.WaitingFor[0]} among them)",
        };
}

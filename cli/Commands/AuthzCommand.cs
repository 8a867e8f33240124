using System.CommandLine;
using Mesh.Api.Operators;
using Mesh.Cli.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl authz check</c>: what the live policies say to a request, and where that is written.</summary>
internal static class AuthzCommand
{
    /// <summary>The exit code of a check whose request would be refused; errors have others.</summary>
    public const int Denied = 3;

    public static Command Make() => new("authz", "Who may call what.") { new Check().Command() };

    internal static string Text(AuthorizationQuestion question, AuthorizationAnswer answer) =>
        (question.WhoCan ? Callers(answer) : string.Concat(answer.Verdicts.Select(v => Verdict(question, answer, v)))) +
        string.Concat(answer.Warnings.Select(w => $"\nWARNING: {w}\n"));

    private static string Callers(AuthorizationAnswer answer)
    {
        if (answer.Verdicts.Count == 0) return "No identity is known.\n";
        var table = new Table("FROM", "ALLOWED", "POLICY", "WRITTEN", "REASON");
        foreach (var verdict in answer.Verdicts)
            table.Add(verdict.From.Length > 0 ? verdict.From : "(no certificate)", verdict.Allowed ? "yes" : "no", verdict.Policy, verdict.Location, verdict.Reason);
        return table.ToString();
    }

    private static string Verdict(AuthorizationQuestion question, AuthorizationAnswer answer, AuthorizationVerdict verdict)
    {
        var from = verdict.From.Length > 0 ? verdict.From : "a caller without a certificate";
        var what = question.Method.Length > 0 ? $"{question.Method} {question.Path}" : "a connection";
        var by = verdict.Policy.Length > 0 ? $"by {verdict.Policy}" + (verdict.Location.Length > 0 ? $" ({verdict.Location})" : "") : "";
        var text = $"{(verdict.Allowed ? "ALLOWED" : "DENIED")} {by}".TrimEnd() + $": {verdict.Reason}\n{from} -> {answer.Destination} {what}; mutual TLS: {answer.Mode}\n";
        if (verdict.Steps.Count == 0) return text;
        var table = new Table("POLICY", "ACTION", "MATCHED", "WRITTEN");
        foreach (var step in verdict.Steps)
            table.Add(step.Policy, step.Action + (step.DryRun ? " (dry run)" : ""), step.Matched ? "yes" : "no", step.Location);
        return text + "\n" + table;
    }

    /// <summary>The options of the command and how they become a question.</summary>
    private sealed class Check
    {
        private readonly Option<string?> _from = new("--from") { Description = "the caller; without: one that has no certificate", HelpName = "ns/NAMESPACE/sa/ACCOUNT" };
        private readonly Option<string> _to = new("--to") { Description = "the service that is called", HelpName = "SERVICE[.NAMESPACE]:PORT", Required = true };
        private readonly Option<string[]> _headers = new("--header", "-H") { Description = "a request header; repeatable", HelpName = "NAME=VALUE" };
        private readonly Option<string?> _address = new("--address") { Description = "the caller's address, for policies with ipBlocks", HelpName = "ADDRESS" };
        private readonly Option<bool> _whoCan = new("--who-can") { Description = "answer for every identity the mesh knows" };
        private readonly Option<OutputFormat> _format = Report.FormatOption();
        private readonly Argument<string> _method = new("METHOD") { Description = "the method; without: a TCP connection", Arity = ArgumentArity.ZeroOrOne };
        private readonly Argument<string> _path = new("PATH") { Description = "the path", Arity = ArgumentArity.ZeroOrOne };
        private readonly OperatorsOptions _operators = new();

        public Command Command()
        {
            var command = new Command("check", $"Tells what the destination would do with a request, and which rule decides. Exit code 0 allowed, {Denied} denied.")
            {
                _method, _path, _from, _to, _headers, _address, _whoCan, _format,
            };
            _operators.AddTo(command);
            _headers.Validators.Add(result =>
            {
                foreach (var header in result.GetValueOrDefault<string[]>() ?? [])
                {
                    if (header.IndexOf('=', StringComparison.Ordinal) < 1) result.AddError($"--header {header}: expected NAME=VALUE");
                }
            });
            command.Validators.Add(result =>
            {
                if (result.GetValue(_whoCan) && result.GetValue(_from) is not null) result.AddError("--who-can answers for every caller: leave --from out");
                if (result.GetValue(_method) is not null && result.GetValue(_path) is null) result.AddError("a request has a method and a path, for example GET /orders");
            });
            command.SetAction(RunAsync);
            return command;
        }

        private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellation)
        {
            var question = Read(parsed);
            using var client = _operators.Open(parsed);
            var answer = await client.PostAsync(OperatorsApi.AuthorizationCheck, question,
                OperatorsJson.Default.AuthorizationQuestion, OperatorsJson.Default.AuthorizationAnswer, cancellation);
            await Console.Out.WriteAsync(Report.Of(answer, parsed.GetValue(_format), OperatorsJson.Default.AuthorizationAnswer, a => Text(question, a)));
            return question.WhoCan || answer.Verdicts.All(v => v.Allowed) ? 0 : Denied;
        }

        private AuthorizationQuestion Read(ParseResult parsed) => new()
        {
            From = parsed.GetValue(_from) ?? "",
            To = parsed.GetRequiredValue(_to),
            Method = parsed.GetValue(_method) ?? "",
            Path = parsed.GetValue(_path) ?? "",
            Headers = (parsed.GetValue(_headers) ?? []).Select(h => h.Split('=', 2))
                .GroupBy(h => h[0], StringComparer.OrdinalIgnoreCase).ToDictionary(g => g.Key, g => string.Join(", ", g.Select(h => h[1])), StringComparer.OrdinalIgnoreCase),
            Address = parsed.GetValue(_address) ?? "",
            WhoCan = parsed.GetValue(_whoCan),
        };
    }
}

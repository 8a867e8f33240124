using System.CommandLine;
using Mesh.Api.Operators;
using Mesh.Cli.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl token create</c>: what a workload joins the mesh with.</summary>
internal static class TokenCommand
{
    public static Command Make()
    {
        var identity = new Option<string>("--identity") { Description = "who its holder becomes", HelpName = "ns/NAMESPACE/sa/ACCOUNT", Required = true };
        var serves = new Option<string[]>("--serves") { Description = "a service it may serve; repeatable", HelpName = "SERVICE" };
        var addresses = new Option<string[]>("--address") { Description = "an address its workloads may register at beside the one they call from; repeatable", HelpName = "ADDRESS" };
        var ttl = new Option<TimeSpan>("--ttl")
        {
            Description = "how long it may be used: 10m, 1h",
            HelpName = "TIME",
            CustomParser = Durations.Parse,
            DefaultValueFactory = _ => TimeSpan.FromMinutes(10),
        };
        var format = Report.FormatOption();
        var operators = new OperatorsOptions();
        var create = new Command("create", "Makes a join token and prints it: a secret that one sidecar joins the mesh with, once.") { identity, serves, addresses, ttl, format };
        operators.AddTo(create);
        create.SetAction(async (parsed, cancellation) =>
        {
            using var client = operators.Open(parsed);
            var token = await client.PostAsync(OperatorsApi.Tokens, new TokenRequest
            {
                Identity = parsed.GetRequiredValue(identity),
                Serves = parsed.GetValue(serves) ?? [],
                Addresses = parsed.GetValue(addresses) ?? [],
                TtlSeconds = (int)parsed.GetValue(ttl).TotalSeconds,
            }, OperatorsJson.Default.TokenRequest, OperatorsJson.Default.IssuedToken, cancellation);
            // The token alone, so that a script can take it as it is.
            await Console.Out.WriteAsync(Report.Of(token, parsed.GetValue(format), OperatorsJson.Default.IssuedToken, t => t.Token + "\n"));
            return 0;
        });
        return new Command("token", "Tokens that workloads join the mesh with.") { create };
    }
}

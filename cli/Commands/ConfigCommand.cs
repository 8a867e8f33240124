using System.CommandLine;
using Mesh.Api.Operators;
using Mesh.Api.Xds;
using Mesh.Cli.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl config dump NODE</c>: the resources the control plane compiled for a node.</summary>
internal static class ConfigCommand
{
    public static Command Make()
    {
        var node = new Argument<string>("NODE") { Description = "a node id, workload id or service, as `meshctl nodes` shows them; of several instances the newest" };
        var operators = new OperatorsOptions();
        var format = Report.FormatOption();
        var dump = new Command("dump", "Shows the configuration of a node; -o json or yaml for the whole of it.") { node, format };
        operators.AddTo(dump);
        dump.SetAction(async (parsed, cancellation) =>
        {
            using var client = operators.Open(parsed);
            var query = $"{OperatorsApi.Config}?node={Uri.EscapeDataString(parsed.GetRequiredValue(node))}";
            var config = await client.GetAsync(query, OperatorsJson.Default.ConfigDump, cancellation);
            await Console.Out.WriteAsync(Report.Of(config, parsed.GetValue(format), OperatorsJson.Default.ConfigDump, Table));
            return 0;
        });
        return new Command("config", "What nodes are configured with.") { dump };
    }

    internal static string Table(ConfigDump config)
    {
        var table = new Table("TYPE", "NAME", "VERSION", "FROM");
        foreach (var resource in config.Resources)
            table.Add(TypeUrls.ShortName(resource.TypeUrl), resource.Name, resource.Version, Provenance.Of(resource.Resource));
        return table.ToString();
    }
}

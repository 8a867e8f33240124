using System.CommandLine;
using Mesh.Api.Operators;
using Mesh.Cli.Operators;
using Mesh.Cli.Output;

namespace Mesh.Cli.Commands;

/// <summary><c>meshctl services</c>: what can be called, and what stands behind it.</summary>
internal static class ServicesCommand
{
    public static Command Make()
    {
        var operators = new OperatorsOptions();
        var format = Report.FormatOption();
        var command = new Command("services", "Lists the services of the mesh with their endpoints.") { format };
        operators.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            using var client = operators.Open(parsed);
            var services = await client.GetAsync(OperatorsApi.Services, OperatorsJson.Default.ServiceList, cancellation);
            await Console.Out.WriteAsync(Report.Of(services, parsed.GetValue(format), OperatorsJson.Default.ServiceList, Table));
            return 0;
        });
        return command;
    }

    internal static string Table(ServiceList list)
    {
        if (list.Services.Count == 0)
            return "No services are known.\n";
        var table = new Table("SERVICE", "NAMESPACE", "PORTS", "HEALTHY", "MESHED", "VERSIONS", "SOURCE", "RULES");
        foreach (var service in list.Services)
        {
            var endpoints = service.Endpoints;
            table.Add(
                service.Name,
                service.Namespace,
                string.Join(',', service.Ports.Select(p => p.Protocol is not ("" or "unknown") ? $"{p.Port}/{p.Protocol}" : $"{p.Port}")),
                $"{endpoints.Count(e => e.Health == "HEALTHY")}/{endpoints.Count}",
                $"{endpoints.Count(e => e.Meshed)}/{endpoints.Count}",
                string.Join(',', endpoints.Select(e => e.Version).Where(v => v.Length > 0).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)),
                service.Source,
                string.Join(", ", service.Rules));
        }

        return table.ToString();
    }
}

using System.Collections.Immutable;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Rules.Documents;
using Mesh.ControlPlane.Rules.Policies;

namespace Mesh.ControlPlane.Rules.Kubernetes;

/// <summary>Pod documents (v1): service account, labels, address and named ports. The rest of a pod is the scheduler's. Pure but for the findings it adds.</summary>
internal static class PodReader
{
    private const string ZoneLabel = "topology.kubernetes.io/zone";

    /// <summary>Reads a document; null when it cannot be used, which has been reported.</summary>
    public static Instance? Read(Fields document)
    {
        var meta = ObjectMeta.Read(document, nameIsLabel: false);
        var spec = document.Object("spec");
        var ports = spec is null ? [] : ReadPorts(spec);
        var hostname = spec?.Label("hostname") ?? "";
        var account = spec?.Text("serviceAccountName") ?? "";
        if (account.Length > 0 && PolicyFormats.IdentityProblem($"{meta.Namespace}/{account}") is not null) spec!.Error("serviceAccountName", $"must be the name of a service account, is \"{account}\"");
        var status = document.Required("status", "a pod in a file needs status.podIP, the address to call");
        document.Done("apiVersion", "kind");
        if (status is null) return null;

        status.Require("podIP", "it is the address to call");
        var address = status.Text("podIP") ?? "";
        if (address.Length > 0 && !Formats.IsAddress(address)) status.Error("podIP", $"must be an IP address, is \"{address}\"");
        var app = meta.Labels.GetValueOrDefault("app", meta.Labels.GetValueOrDefault("app.kubernetes.io/name", ""));
        return new Instance
        {
            Id = $"pod/{meta.Namespace}/{meta.Name}",
            Namespace = meta.Namespace,
            Service = "",
            Hostname = hostname,
            Address = address,
            Ports = ports,
            Labels = meta.Labels,
            Workload = app.Length > 0 ? app : meta.Name,
            Version = meta.Labels.GetValueOrDefault("version", ""),
            Zone = meta.Labels.GetValueOrDefault(ZoneLabel, ""),
            Health = meta.Leaving ? InstanceHealth.Draining : ReadHealth(status),
            Account = account,
            Source = new Provenance("Pod", meta.Namespace, meta.Name, $"{document.Findings.File}:{document.Line}"),
        };
    }

    private static ImmutableArray<InstancePort> ReadPorts(Fields spec)
    {
        var ports = ImmutableArray.CreateBuilder<InstancePort>();
        foreach (var item in spec.Objects("containers", 100).SelectMany(container => container.Objects("ports", 250)))
        {
            item.Require("containerPort", "it is the number the container listens on");
            var name = item.Label("name") ?? "";
            var number = item.Integer("containerPort", 1, 65535);
            var isTcp = PortProtocol.IsTcp(item);
            item.Done("hostPort", "hostIP");
            if (isTcp && number is { } known) ports.Add(new InstancePort(name, known, AppProtocol.Unknown, known));
        }

        return ports.ToImmutable();
    }

    private static InstanceHealth ReadHealth(Fields status)
    {
        var phase = status.Word("phase", "Pending", "Running", "Succeeded", "Failed", "Unknown");
        if (phase is "Pending" or "Succeeded" or "Failed") return InstanceHealth.Critical;
        foreach (var condition in status.Objects("conditions", 100))
        {
            if (condition.Text("type") == "Ready" && condition.Text("status") == "False") return InstanceHealth.Critical;
        }

        return InstanceHealth.Passing;
    }
}

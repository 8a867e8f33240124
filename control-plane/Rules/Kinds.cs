using System.Collections.Frozen;
using Mesh.ControlPlane.Rules.Documents;

namespace Mesh.ControlPlane.Rules;

/// <summary>Which kinds there are, which of them the mesh reads, and what it says about the others. Pure.</summary>
internal static class Kinds
{
    private const string GatewayGroup = "gateway.networking.k8s.io";
    private const string SecurityGroup = "security.istio.io";
    private const string Offer = "Service, ServiceEntry, EndpointSlice, Pod, HTTPRoute, AuthorizationPolicy, PeerAuthentication and ServiceIdentity";

    /// <summary>Kinds the mesh reads, with the one version it knows.</summary>
    private static readonly FrozenDictionary<string, string> Read = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["Service"] = "v1",
        ["Pod"] = "v1",
        ["List"] = "v1",
        ["EndpointSlice"] = "discovery.k8s.io/v1",
        ["HTTPRoute"] = GatewayGroup + "/v1",
        ["AuthorizationPolicy"] = SecurityGroup + "/v1",
        ["ServiceEntry"] = Istio.ServiceEntryReader.Group + "/v1",
        ["PeerAuthentication"] = SecurityGroup + "/v1",
        ["ServiceIdentity"] = "policy.mesh/v1",
    }.ToFrozenDictionary();

    /// <summary>Kinds that have a meaning for a mesh, so that ignoring them would mislead.</summary>
    private static readonly FrozenSet<string> Later = FrozenSet.ToFrozenSet(
    [
        "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute", "ReferenceGrant", "Gateway", "GatewayClass", "ListenerSet", "BackendTLSPolicy", "BackendLBPolicy", "Endpoints",
        "BackendTrafficPolicy", "RequestAuthentication", "NetworkPolicy", "Ingress", "IngressClass", "VirtualService", "DestinationRule", "Sidecar", "WorkloadEntry", "WorkloadGroup",
    ]);

    /// <summary>Kinds that often stand in the same file and say nothing to a mesh.</summary>
    private static readonly FrozenSet<string> Foreign = FrozenSet.ToFrozenSet(
    [
        "Namespace", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "ConfigMap", "Secret", "ServiceAccount", "Role", "RoleBinding",
        "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "PersistentVolumeClaim", "StorageClass", "HorizontalPodAutoscaler", "PodDisruptionBudget",
        "CustomResourceDefinition", "PriorityClass", "LimitRange", "ResourceQuota", "Node", "Event", "Lease",
    ]);

    /// <summary>The kind of a document the mesh reads; null when it is another, which has been reported.</summary>
    public static string? Of(Fields document)
    {
        document.Require("apiVersion", "it says which kind of document this is, with kind");
        document.Require("kind", "it says what this document is, Service or HTTPRoute for example");
        var version = document.Text("apiVersion");
        if (document.Text("kind") is not { } kind || version is null) return null;
        if (Read.TryGetValue(kind, out var known))
        {
            if (known == version) return kind;
            document.Error("apiVersion", $"must be {known} for {kind}, is \"{version}\"");
        }
        else if (Later.Contains(kind)) document.Error("kind", $"{kind} is not supported yet: remove the document");
        else if (Foreign.Contains(kind)) document.Warn("kind", $"{kind} says nothing to the mesh and is left out");
        else
        {
            var meant = NearestName.Of(kind, Read.Keys);
            document.Error("kind", $"there is no kind \"{kind}\" here: {(meant is null ? $"the mesh reads {Offer}" : $"did you mean {meant}?")}");
        }

        return null;
    }
}

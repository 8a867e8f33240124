using System.Collections.Immutable;
using System.Security.Cryptography.X509Certificates;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config.Builders;

namespace Mesh.Sidecar.Config;

/// <summary>
/// Turns accepted resources into the snapshot that serves. One thread, the config loop's; lives as long as the process.
/// </summary>
internal sealed class SnapshotPublisher(Snapshots snapshots, TimeProvider time)
{
    /// <summary>
    /// How long state that no new snapshot refers to stays usable for requests that still hold an older one. What runs longer keeps its
    /// connection and loses only the chance of a further try.
    /// </summary>
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(5);

    private readonly Linker linker = new();
    private readonly Queue<(long Due, ClusterState State)> retired = [];
    private (Accepted<ImmutableArray<X509Certificate2>>? Roots, Accepted<Revocations>? Revoked) told;
    private volatile ResourceSet serving = ResourceSet.Empty;
    private volatile ResourceSet trusted = ResourceSet.Empty;

    /// <summary>The resources behind the snapshot that serves. Safe from any thread.</summary>
    public ResourceSet Serving => serving;

    /// <summary>What serves, with whom to believe as that was said last: news of it do not wait for the rest. Safe from any thread.</summary>
    public ResourceSet Good => trusted is { } told && (!ReferenceEquals(told.Roots, serving.Roots) || !ReferenceEquals(told.Revoked, serving.Revoked))
        ? serving with { Roots = told.Roots, Revoked = told.Revoked, Versions = Versions(serving, told) }
        : serving;

    /// <summary>Links and publishes: the one write that makes a new configuration serve.</summary>
    public void Publish(ResourceSet set)
    {
        var snapshot = linker.Link(set);
        serving = set;
        snapshots.Publish(snapshot);
        Retire();
    }

    /// <summary>Tells whom to believe, when a set brings news of it; it does not wait for the rest of the set.</summary>
    public void TellTrust(ResourceSet set)
    {
        var (roots, revoked) = (set.Roots.Values.FirstOrDefault(), set.Revoked.Values.FirstOrDefault());
        if (ReferenceEquals(roots, told.Roots) && ReferenceEquals(revoked, told.Revoked)) return;
        told = (roots, revoked);
        trusted = set;
        snapshots.Tell(new MeshTrust(roots?.Value ?? [], revoked?.Value.Identities ?? [], revoked?.Value.IssuingRoot ?? ""));
    }

    private static ImmutableSortedDictionary<string, string> Versions(ResourceSet serving, ResourceSet told)
    {
        var versions = serving.Versions;
        foreach (var type in (ReadOnlySpan<string>)[TypeUrls.Secret, TypeUrls.IdentityRevocations])
        {
            if (told.Versions.TryGetValue(type, out var version)) versions = versions.SetItem(type, version);
        }

        return versions;
    }

    private void Retire()
    {
        var now = time.GetTimestamp();
        foreach (var state in linker.TakeRetired()) retired.Enqueue((now + (long)(Grace.TotalSeconds * time.TimestampFrequency), state));
        while (retired.TryPeek(out var oldest) && oldest.Due <= now) retired.Dequeue().State.Dispose();
    }
}

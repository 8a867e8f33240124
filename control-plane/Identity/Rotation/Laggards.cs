using Mesh.ControlPlane.Identity.Authority;
using Mesh.ControlPlane.Identity.Records;

namespace Mesh.ControlPlane.Identity.Rotation;

/// <summary>Who holds up a phase of a change of roots. Pure.</summary>
internal static class Laggards
{
    /// <summary>
    /// Those who may not believe the new root yet: neither have they acknowledged it on a stream to any control plane, nor did it come with
    /// their newest certificate. Who is gone without a word is waited for until his certificate ends, since he could come back.
    /// </summary>
    /// <param name="held">The newest certificate of each holder.</param>
    /// <param name="connected">Who has a stream to this control plane.</param>
    /// <param name="acknowledged">Holders that acknowledged, at any control plane.</param>
    /// <param name="bundle">Fingerprint of the bundle with the new root.</param>
    public static IReadOnlyList<Laggard> InDistribute(
        IReadOnlyList<IssuedRecord> held, IReadOnlyList<ConnectedHolder> connected, IReadOnlySet<string> acknowledged, string bundle)
    {
        var waiting = held.Where(record => record.Bundle != bundle && !acknowledged.Contains(record.Holder));
        var recorded = held.Select(record => record.Holder).ToHashSet(StringComparer.Ordinal);
        var unknown = connected.Where(node => !node.Believes && !recorded.Contains(node.Holder)).Select(node => new Laggard(node.Identity, node.Node, DateTimeOffset.MaxValue));
        return [.. waiting.Select(record => Of(record, connected)), .. unknown];
    }

    /// <summary>Those whose newest certificate is not under the new root.</summary>
    public static IReadOnlyList<Laggard> InRenew(IReadOnlyList<IssuedRecord> held, IReadOnlyList<ConnectedHolder> connected, RotationState rotation) =>
        [.. held.Where(record => record.Root != rotation.NewRoot).Select(record => Of(record, connected))];

    private static Laggard Of(IssuedRecord record, IReadOnlyList<ConnectedHolder> connected)
    {
        var node = connected.FirstOrDefault(one => one.Holder == record.Holder)?.Node;
        return new Laggard(record.Identity, node ?? $"{record.Identity} (holder {record.Holder}, {record.Peer})", record.NotAfter);
    }
}

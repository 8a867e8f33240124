using Mesh.Api.Operators;
using Mesh.ControlPlane.Identity;
using Mesh.ControlPlane.Identity.Records;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Xds;

namespace Mesh.ControlPlane.Admin;

/// <summary>The identities as operators see them: who holds certificates, is connected, may serve what, is revoked. Thread safe.</summary>
internal sealed class IdentityReport(MeshIdentity identity, WorldStore store, ConnectedNodes nodes)
{
    private const int MostCertificates = 20;

    /// <summary>All identities that are known of, by ID.</summary>
    public async Task<IdentityList> ReadAsync(CancellationToken stop)
    {
        var held = (await identity.Holders.ReadAsync(stop)).ToLookup(record => record.Identity, StringComparer.Ordinal);
        var connected = nodes.Identities().ToLookup(node => node.Identity, node => node.Id, StringComparer.Ordinal);
        var granted = store.Current.Trust.Grants.ToDictionary(grant => grant.Identity, StringComparer.Ordinal);
        var revoked = identity.Revocations.All.Select(record => record.Identity).ToHashSet(StringComparer.Ordinal);
        var all = held.Select(group => group.Key).Concat(connected.Select(group => group.Key)).Concat(granted.Keys).Concat(revoked);
        return new IdentityList(identity.Authority.TrustDomain, [.. all.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).Select(id => new IdentityStatus
        {
            Id = id,
            Serves = granted.TryGetValue(id, out var grant) ? [.. grant.Serves.Select(service => service.ToString())] : [],
            Nodes = [.. connected[id].Order(StringComparer.Ordinal)],
            Certificates = [.. held[id].Take(MostCertificates).Select(Of)],
            Revoked = revoked.Contains(id),
        })]);
    }

    private static IssuedCertificate Of(IssuedRecord record) => new()
    {
        Serial = record.Serial,
        NotBefore = record.NotBefore,
        NotAfter = record.NotAfter,
        Method = record.By,
        Address = record.Peer,
    };
}

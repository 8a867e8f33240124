using System.Net;
using Mesh.Sidecar.Listening;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>Which addresses are this host's own: what is not must not be dialled for others.</summary>
public sealed class LocalAddressesTests
{
    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void OnlyTheAddressesOfInterfacesAreOurs(bool anyCanBeBound)
    {
        using var host = NetworkNamespace.Create("local");
        host.IpAll(["addr add 10.7.0.1/32 dev lo", "addr add 10.7.0.2/32 dev lo", "addr add fd07::1/128 dev lo nodad"]);
        if (anyCanBeBound)
        {
            host.Must("sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1");
            host.Must("sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1");
        }

        var local = new LocalAddresses(new ManualTimeProvider());
        foreach (var ours in (string[])["127.0.0.1", "127.9.9.9", "::1", "10.7.0.1", "10.7.0.2", "fd07::1"]) Assert.True(Has(ours), ours);
        foreach (var foreign in (string[])["10.7.0.3", "192.0.2.1", "192.0.2.7", "fd07::2", "2001:db8::1"]) Assert.False(Has(foreign), foreign);

        bool Has(string address) => host.Inside(() => local.Has(IPAddress.Parse(address)));
    }
}

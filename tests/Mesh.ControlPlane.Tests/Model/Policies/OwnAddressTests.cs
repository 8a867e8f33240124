using System.Net;
using Mesh.ControlPlane.Model.Policies;

namespace Mesh.ControlPlane.Tests.Model.Policies;

/// <summary>Which addresses are a workload's own, whatever it says.</summary>
public sealed class OwnAddressTests
{
    [Theory]
    [InlineData("10.0.0.5", "10.0.0.5", true)]
    [InlineData("10.0.0.5", "::ffff:10.0.0.5", true)]
    [InlineData("::ffff:10.0.0.5", "10.0.0.5", false)]
    [InlineData("10.0.0.5", "10.0.0.6", false)]
    [InlineData("10.0.0.5", null, false)]
    [InlineData("127.0.0.1", "127.0.0.9", true)]
    [InlineData("::1", "127.0.0.1", true)]
    [InlineData("127.0.0.1", "10.0.0.5", false)]
    [InlineData("10.0.0.5", "127.0.0.1", false)]
    [InlineData("2001:db8::5", "2001:db8::5", true)]
    [InlineData("2001:db8::5", "2001:db8::6", false)]
    [InlineData("fe80::5", "fe80::5%3", false)]
    // Granted: to this identity, that very address.
    [InlineData("10.9.9.9", "10.0.0.5", true)]
    [InlineData("10.9.9.9", null, true)]
    [InlineData("10.9.9.8", "10.0.0.5", false)]
    [InlineData("10.8.8.8", "10.0.0.5", false)]
    public void Is_seen_or_granted(string said, string? seenAt, bool own)
    {
        var trust = Trust.None with
        {
            Grants = [new Grant(TestCaller.Id("shop/web"), [], ["10.9.9.9", "not an address"]), new Grant(TestCaller.Id("shop/other"), [], ["10.8.8.8"])],
        };
        var world = PolicyWorld.Of(trust, "");
        Assert.Equal(own, OwnAddress.Is(IPAddress.Parse(said), seenAt is null ? null : IPAddress.Parse(seenAt), TestCaller.Id("shop/web"), world.Authority));
    }
}

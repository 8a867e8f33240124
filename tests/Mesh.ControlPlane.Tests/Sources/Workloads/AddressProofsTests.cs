using System.Net;
using Mesh.ControlPlane.Sources.Workloads;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Workloads;

/// <summary>Who was seen at an address can show it for some minutes, and nobody else can.</summary>
public sealed class AddressProofsTests
{
    private static readonly string Web = TestCaller.Id("shop/web");
    private static readonly IPAddress Address = IPAddress.Parse("2001:db8::7");
    private readonly ManualTimeProvider time = new();
    private readonly byte[] key = new byte[32];

    [Fact]
    public void Holds_for_that_identity_and_address_at_every_control_plane_of_the_mesh()
    {
        var proof = Proofs().Make(Web, Address);
        Assert.NotNull(Proofs().Until(Web, Address, proof));
        Assert.Null(Proofs().Until(TestCaller.Id("shop/thief"), Address, proof));
        Assert.Null(Proofs().Until(Web, IPAddress.Parse("2001:db8::8"), proof));
        Assert.Null(Proofs().Until(Web + "\n2001:db8::7", Address, proof));
        key[0]++;
        Assert.Null(Proofs().Until(Web, Address, proof));
    }

    [Fact]
    public void Ends()
    {
        var proof = Proofs().Make(Web, Address);
        time.Advance(AddressProofs.ValidFor - TimeSpan.FromSeconds(1));
        Assert.NotNull(Proofs().Until(Web, Address, proof));
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(Proofs().Until(Web, Address, proof));
    }

    [Fact]
    public void No_other_bytes_are_one()
    {
        var proof = Proofs().Make(Web, Address);
        for (var i = 0; i < proof.Length; i++)
        {
            var altered = proof.ToArray();
            altered[i] ^= 1;
            Assert.Null(Proofs().Until(Web, Address, altered));
            Assert.Null(Proofs().Until(Web, Address, proof.AsSpan(0, i)));
        }

        Assert.Null(Proofs().Until(Web, Address, [.. proof, 0]));
        // The longest time there is, and times that are none.
        foreach (var first in new byte[] { 0x7f, 0x80, 0xff }) Assert.Null(Proofs().Until(Web, Address, [first, .. proof.AsSpan(1)]));
    }

    private AddressProofs Proofs() => new(key.ToArray(), time);
}

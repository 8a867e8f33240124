using Mesh.Sidecar.Identity;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>The first message of a TLS client, read before TLS is spoken: whole, cut anywhere, and damaged.</summary>
public sealed class ClientHelloTests
{
    [Fact]
    public void NameAndProtocolsAreRead()
    {
        Assert.True(ClientHello.TryRead(InboundAttackTests.Hello("istio-h2"), out var hello));
        Assert.Equal("cart.shop", hello!.ServerName);
        Assert.Equal("istio-h2", Assert.Single(hello.Protocols));
    }

    [Fact]
    public void EveryBeginningAsksForMore()
    {
        var bytes = InboundAttackTests.Hello();
        for (var length = 1; length < bytes.Length; length++)
        {
            Assert.True(ClientHello.MayBe(bytes.AsSpan(0, length)));
            Assert.False(ClientHello.TryRead(bytes.AsSpan(0, length), out _), $"{length} of {bytes.Length} bytes");
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(100)]
    public void AHelloMayBeCutIntoRecords(int size)
    {
        var whole = InboundAttackTests.Hello();
        var message = whole[5..];
        var cut = message.Chunk(size).SelectMany(piece => (byte[])[22, 3, 1, (byte)(piece.Length >> 8), (byte)piece.Length, .. piece]).ToArray();
        Assert.True(ClientHello.TryRead(cut, out var hello));
        Assert.Equal("istio-http/1.1", Assert.Single(hello!.Protocols));
    }

    [Fact]
    public void DamageIsNeverAnException()
    {
        var good = InboundAttackTests.Hello();
        var random = new Random(7);
        for (var i = 0; i < 20_000; i++)
        {
            var bytes = good[..random.Next(1, good.Length + 1)];
            for (var k = random.Next(4); k >= 0; k--) bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            if (ClientHello.TryRead(bytes, out var hello) && hello is not null) Assert.All(hello.Protocols, p => Assert.InRange(p.Length, 1, 255));
        }
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n")]
    [InlineData("PRI * HTTP/2.0\r\n")]
    [InlineData("SSH-2.0-x\r\n")]
    [InlineData("\x16\x02\x00")]
    [InlineData("\x15\x03\x01")]
    public void OtherProtocolsAreNotTakenForIt(string bytes) => Assert.False(ClientHello.MayBe(System.Text.Encoding.Latin1.GetBytes(bytes)));
}

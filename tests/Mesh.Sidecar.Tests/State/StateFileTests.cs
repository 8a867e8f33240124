using System.Security.Cryptography;
using System.Text;
using Mesh.Api.V1;
using Mesh.Sidecar.State;

namespace Mesh.Sidecar.Tests.State;

/// <summary>The format of the kept configuration: every byte counts.</summary>
public sealed class StateFileTests
{
    [Fact]
    public void WhatIsWrittenIsRead()
    {
        Assert.Equal(Given.Kept(), StateFile.Read(Given.Bytes(Given.Kept())));
        Assert.Equal(new KeptConfiguration(), StateFile.Read(Given.Bytes(new KeptConfiguration())));
    }

    [Fact]
    public void ALargeOneIsWrittenInPieces()
    {
        var large = Given.Kept();
        for (var i = 0; i < 5_000; i++) large.Resources.Add(Given.Of("t", $"{i}", new DestinationAnswer { Reason = new string('x', 1000) }));
        Assert.Equal(large, StateFile.Read(Given.Bytes(large)));
    }

    [Fact]
    public void NoByteMayBeAnother()
    {
        var good = Given.Bytes(Given.Kept());
        for (var at = 0; at < good.Length; at++)
        {
            foreach (var bit in new[] { 1, 128 })
            {
                var bad = good.ToArray();
                bad[at] ^= (byte)bit;
                Assert.Contains(Refusal(bad).Reason, new[] { "damaged", "format" });
            }
        }
    }

    [Fact]
    public void NoByteMayBeMissingOrTooMuch()
    {
        var good = Given.Bytes(Given.Kept());
        for (var length = 0; length < good.Length; length++)
        {
            Assert.Equal("damaged", Refusal(good[..length]).Reason);
            Assert.Contains(Refusal(good[length..][1..]).Reason, new[] { "damaged" });
        }

        Assert.Equal("damaged", Refusal([.. good, 0]).Reason);
        Assert.Equal("damaged", Refusal([.. good, .. good]).Reason);
        Assert.Equal("damaged", Refusal(new byte[good.Length]).Reason);
    }

    [Theory]
    [InlineData("mesh-sidecar kept configuration 2\n", "", "format", "another version")]
    [InlineData("mesh-sidecar kept configuration 1\n", "\u0007 no message", "damaged", "cannot be read")]
    [InlineData("something else altogether, and long", "", "damaged", "no kept configuration")]
    public void ARightSumOfWrongBytesIsNoPermission(string heading, string message, string reason, string words)
    {
        var content = Encoding.ASCII.GetBytes(heading + message);
        var refusal = Refusal([.. content, .. SHA256.HashData(content)]);
        Assert.Equal(reason, refusal.Reason);
        Assert.Contains(words, refusal.Message, StringComparison.Ordinal);
    }

    private static StateRefusedException Refusal(byte[] content) => Assert.Throws<StateRefusedException>(() => StateFile.Read(content));
}

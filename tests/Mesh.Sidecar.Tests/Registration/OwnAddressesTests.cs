using System.Net;
using Google.Protobuf;
using Mesh.Api.Logging;
using Mesh.Api.V1;
using Mesh.Sidecar.Registration;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Registration;

/// <summary>The other addresses of a workload: found, proved, proved again, and gone when they are.</summary>
public sealed class OwnAddressesTests : IAsyncDisposable
{
    private readonly ManualTimeProvider time = new();
    private readonly LogLines log = new();
    private readonly CancellationTokenSource stop = new();
    private readonly List<string> asked = [];
    private string[] there = ["10.0.0.1", "2001:db8::1"];
    private Func<IPAddress, AddressProof> prove;
    private Task running = Task.CompletedTask;
    private int number;

    public OwnAddressesTests() => prove = Proof;

    [Fact]
    public async Task The_first_is_told_anyway_and_the_others_with_proof()
    {
        var own = Start();
        await Eventually.TrueAsync(() => own.Current.Count == 1);
        Assert.Equal(("2001:db8::1", "proof 1"), (own.Current[0].Address, own.Current[0].Proof.ToStringUtf8()));
        Assert.Equal(["2001:db8::1"], asked);
    }

    [Fact]
    public async Task Changes_are_seen_and_proofs_renewed_before_they_end()
    {
        var own = Start();
        await Eventually.TrueAsync(() => own.Current.Count == 1);
        var first = own.Current;
        await LookAsync();
        Assert.Same(first, own.Current);
        there = ["10.0.0.1", "10.0.0.2", "2001:db8::1"];
        await LookAsync();
        Assert.Equal(["10.0.0.2", "2001:db8::1"], own.Current.Select(one => one.Address));
        for (var i = 0; i < 12; i++) await LookAsync();
        Assert.Equal("proof 3 proof 4", string.Join(' ', own.Current.Select(one => one.Proof.ToStringUtf8()).Order(StringComparer.Ordinal)));
        there = ["10.0.0.1"];
        await LookAsync();
        Assert.Empty(own.Current);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_cannot_be_proved_is_told_without_and_said_once(bool translated)
    {
        prove = address => translated ? new AddressProof { Address = "192.0.2.9", Proof = ByteString.CopyFromUtf8("of another") } : throw new IOException("Network is unreachable");
        var own = Start();
        await Eventually.TrueAsync(() => own.Current.Count == 1);
        Assert.Equal(("2001:db8::1", 0), (own.Current[0].Address, own.Current[0].Proof.Length));
        for (var i = 0; i < 8; i++) await LookAsync();
        Assert.Equal(3, asked.Count);
        Assert.Single(log.ToString().Split('\n'), line => line.Contains("an address cannot be proved by a connection", StringComparison.Ordinal)
            && line.Contains(translated ? "sees it as 192.0.2.9" : "Network is unreachable", StringComparison.Ordinal));
        prove = Proof;
        for (var i = 0; i < 5; i++) await LookAsync();
        Assert.NotEmpty(own.Current[0].Proof);
    }

    [Fact]
    public async Task Not_more_than_the_control_plane_takes()
    {
        there = [.. Enumerable.Range(1, 50).Select(i => $"10.0.0.{i}")];
        var own = Start();
        await Eventually.TrueAsync(() => own.Current.Count == OwnAddresses.Most);
        Assert.Equal(OwnAddresses.Most, asked.Count);
    }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await running.WaitAsync(TimeSpan.FromSeconds(20));
        stop.Dispose();
    }

    private OwnAddresses Start()
    {
        var own = new OwnAddresses(IPAddress.Parse("10.0.0.1"), () => [.. there.Select(IPAddress.Parse)], (from, _) =>
        {
            asked.Add(from.ToString());
            return Task.FromResult(prove(from));
        }, time, Log.To(log, Level.Info, TimeProvider.System));
        running = own.RunAsync(stop.Token);
        return own;
    }

    private AddressProof Proof(IPAddress from) => new() { Address = from.ToString(), Proof = ByteString.CopyFromUtf8($"proof {++number}") };

    private async Task LookAsync()
    {
        await Eventually.TrueAsync(() => time.ActiveTimers > 0);
        time.Advance(OwnAddresses.LookEvery);
        await Eventually.TrueAsync(() => time.ActiveTimers > 0);
    }
}

using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Balancing;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Identity;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Resilience;
using Mesh.Sidecar.Tcp;
using Mesh.Sidecar.Telemetry;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Tcp;

/// <summary>Addresses of hosts that clusters name: asked for seldom, kept through outages, never beyond the host itself.</summary>
public sealed class HostAddressesTests
{
    private readonly ManualTimeProvider time = new();
    private int asked;

    [Fact]
    public async Task A_host_is_asked_for_every_five_seconds_at_most_and_only_when_somebody_connects()
    {
        var hosts = Hosts(() => ["192.0.2.1"]);
        for (var i = 0; i < 10; i++) Assert.Equal("192.0.2.1", await Of(hosts));
        Assert.Equal(1, asked);
        time.Advance(HostAddresses.RefreshAfter - TimeSpan.FromMilliseconds(1));
        await Of(hosts);
        Assert.Equal(1, asked);
        time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(1, asked);
        await Of(hosts);
        Assert.Equal(2, asked);
    }

    [Fact]
    public async Task A_change_is_seen_and_addresses_take_turns_IPv4_first()
    {
        string[] now = ["2001:db8::1", "192.0.2.1", "192.0.2.2"];
        var hosts = Hosts(() => now);
        Assert.Equal("192.0.2.1 192.0.2.2 2001:db8::1", await Of(hosts));
        Assert.Equal("192.0.2.2 192.0.2.1 2001:db8::1", await Of(hosts));
        now = ["192.0.2.9"];
        time.Advance(HostAddresses.RefreshAfter);
        Assert.Equal("192.0.2.9", await Of(hosts));
    }

    [Theory]
    [InlineData(SocketError.TryAgain, true)]
    [InlineData(SocketError.NoRecovery, true)]
    // It is not there any more: what it was is somebody else's by now.
    [InlineData(SocketError.HostNotFound, false)]
    public async Task What_was_heard_last_holds_while_nobody_answers(SocketError error, bool holds)
    {
        SocketError? failing = null;
        var hosts = Hosts(() => failing is { } problem ? throw new SocketException((int)problem) : ["192.0.2.1"]);
        Assert.Equal("192.0.2.1", await Of(hosts));
        failing = error;
        for (var i = 0; i < 3; i++)
        {
            time.Advance(TimeSpan.FromMinutes(1));
            if (holds) Assert.Equal("192.0.2.1", await Of(hosts));
            else Assert.Equal(error, (await Assert.ThrowsAsync<SocketException>(() => Of(hosts))).SocketErrorCode);
        }

        failing = null;
        Assert.Equal("192.0.2.1", await Of(hosts));
    }

    [Fact]
    public async Task A_resolver_that_says_nothing_keeps_nobody_longer_than_a_second_who_knows_an_address_and_five_who_knows_none()
    {
        var silent = false;
        var hosts = new HostAddresses((_, cancel) => silent ? Task.Delay(Timeout.Infinite, cancel).ContinueWith<IPAddress[]>(_ => [], TaskScheduler.Default) : Task.FromResult<IPAddress[]>([IPAddress.Loopback]), time);
        Assert.Equal("127.0.0.1", await Of(hosts));
        silent = true;
        time.Advance(HostAddresses.RefreshAfter);
        var known = Of(hosts);
        await Eventually.PassesAsync(() =>
        {
            time.Advance(HostAddresses.Patience);
            Assert.True(known.IsCompleted);
            return Task.CompletedTask;
        });
        Assert.Equal("127.0.0.1", await known);
        // Who comes next waits no second time.
        Assert.True(hosts.OfAsync("payments.example.com", CancellationToken.None).IsCompletedSuccessfully);
        var unknown = hosts.OfAsync("other.example.com", CancellationToken.None).AsTask();
        await Eventually.PassesAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(5));
            Assert.True(unknown.IsCompleted);
            return Task.CompletedTask;
        });
        await Assert.ThrowsAsync<SocketException>(() => unknown);
    }

    [Fact]
    public async Task Many_at_once_ask_once_and_hosts_are_bounded()
    {
        var answer = new TaskCompletionSource<IPAddress[]>();
        var hosts = new HostAddresses((_, _) => { Interlocked.Increment(ref asked); return answer.Task; }, time);
        var all = Enumerable.Range(0, 100).Select(_ => Of(hosts)).ToArray();
        answer.SetResult([IPAddress.Loopback]);
        foreach (var one in all) Assert.Equal("127.0.0.1", await one);
        Assert.Equal(1, asked);
        for (var i = 0; i < 3000; i++) await hosts.OfAsync($"h{i}.example.com", CancellationToken.None);
        Assert.InRange(hosts.Count, 1, 1001);
    }

    [Fact]
    public async Task What_does_not_accept_is_left_for_the_next_address()
    {
        await using var origin = RecordingOrigin.Friendly();
        var clock = TimeProvider.System;
        var dialer = new Dialer(new Snapshots(), new Security(clock), new OwnPorts(new LocalAddresses(clock), clock), clock, new Randomness(1), new SidecarMetrics())
        {
            Hosts = new HostAddresses((_, _) => Task.FromResult<IPAddress[]>([IPAddress.Parse("127.0.0.9"), IPAddress.Loopback]), clock),
        };
        var port = origin.Address.Port;
        var endpoint = new Endpoint { Host = "payments.example.com", Port = port, Authority = $"payments.example.com:{port}", IsNamed = true, Peer = PeerLabels.Unknown, Stats = new EndpointStats() };
        for (var i = 0; i < 4; i++)
        {
            var dialled = await dialer.ConnectAsync(new Dial(endpoint, null, Carried.Tcp, Direction.Outbound, TimeSpan.FromSeconds(5)), CancellationToken.None);
            Assert.True(dialled.Transport is not null, dialled.Detail);
            dialled.Transport.Dispose();
        }
    }

    private HostAddresses Hosts(Func<string[]> answer) => new((_, _) =>
    {
        asked++;
        return Task.FromResult(answer().Select(IPAddress.Parse).ToArray());
    }, time);

    private static async Task<string> Of(HostAddresses hosts) => string.Join(' ', await hosts.OfAsync("payments.example.com", CancellationToken.None));
}

using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>Configuration that changes, and sidecars that end, under load: no request is lost and none is sent twice.</summary>
public sealed class ChangeTests
{
    [Fact]
    public async Task AChangedRouteHoldsForTheNextRequestOfALiveConnection()
    {
        await using var one = RecordingOrigin.Friendly("one");
        await using var two = RecordingOrigin.Friendly("two");
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(one.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal("one", (await client.ReadAnswerAsync())!.Body);
        bed.Snapshots.Publish(Bed.Snap(Bed.HttpListener(bed.Port, Bed.Table(Bed.Cluster(two.Address)))));
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal("two", (await client.ReadAnswerAsync())!.Body);
    }

    [Fact]
    public async Task SwapsUnderLoadLoseNothing()
    {
        await using var one = Ledger();
        await using var two = Ledger();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(one.Address)));
        using var stop = new CancellationTokenSource();
        var load = Enumerable.Range(0, 8).Select(n => LoadAsync(bed.Port, n, stop.Token)).ToArray();
        for (var i = 0; i < 300; i++)
        {
            bed.Snapshots.Publish(Bed.Snap(Bed.HttpListener(bed.Port, Bed.Table(Bed.Cluster(i % 2 == 0 ? two.Address : one.Address)))));
            if (i % 10 == 9) await MoreAsync(load, 10, one, two);
            else await Task.Delay(1);
        }

        await stop.CancelAsync();
        var sent = (await Task.WhenAll(load)).Sum();
        var seen = one.Requests.Concat(two.Requests).Select(r => r.Line).ToList();
        Assert.True(sent > 100, $"only {sent} requests");
        Assert.Equal(sent, seen.Count);
        Assert.Equal(sent, seen.Distinct().Count());
        Assert.NotEmpty(one.Requests);
        Assert.NotEmpty(two.Requests);
    }

    [Fact]
    public async Task ARemovedListenerFinishesWhatRunsAndTakesNoMore()
    {
        var began = new TaskCompletionSource();
        var finish = new TaskCompletionSource();
        await using var origin = new RecordingOrigin(async c =>
        {
            while (await c.ReadRequestAsync() is not null)
            {
                began.TrySetResult();
                await finish.Task;
                await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
            }
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        await began.Task;
        bed.Snapshots.Publish(Bed.Snap((Listener?)null));
        await Eventually.PassesAsync(() => Assert.ThrowsAsync<SocketException>(async () => (await bed.ConnectAsync()).Dispose()));
        finish.SetResult();
        var answer = await client.ReadAnswerAsync();
        Assert.Equal("done", answer!.Body);
        Assert.Equal(["close"], answer.Values("Connection"));
        Assert.Equal("", await client.ReadToEndAsync());
    }

    [Fact]
    public async Task AListenerThatChangesItsNameKeepsItsPortOpen()
    {
        await using var origin = Ledger();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var stop = new CancellationTokenSource();
        var load = Enumerable.Range(0, 4).Select(n => LoadAsync(bed.Port, n, stop.Token)).ToArray();
        for (var i = 1; i <= 20; i++)
        {
            var slots = new Listener?[i + 1];
            slots[i] = Bed.HttpListener(bed.Port, Bed.Table(Bed.Cluster(origin.Address)), slot: i);
            bed.Snapshots.Publish(Bed.Snap(slots));
            await MoreAsync(load, 8, origin);
        }

        Assert.DoesNotContain(load, l => l.IsCompleted);
        await stop.CancelAsync();
        var sent = (await Task.WhenAll(load)).Sum();
        var seen = origin.Requests.Select(r => r.Line).ToList();
        Assert.True(sent > 20, $"only {sent} requests");
        Assert.Equal(sent, seen.Count);
        Assert.Equal(sent, seen.Distinct().Count());
    }

    [Fact]
    public async Task AConnectionOfAListenerThatWasRenamedIsAskedToEnd()
    {
        await using var one = RecordingOrigin.Friendly("one");
        await using var two = RecordingOrigin.Friendly("two");
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(one.Address)));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Empty((await client.ReadAnswerAsync())!.Values("Connection"));
        bed.Snapshots.Publish(Bed.Snap(null, Bed.HttpListener(bed.Port, Bed.Table(Bed.Cluster(two.Address)), slot: 1)));
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(["close"], (await client.ReadAnswerAsync())!.Values("Connection"));
        var answer = await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal("two", answer!.Body);
        Assert.Empty(answer.Values("Connection"));
    }

    [Fact]
    public async Task AListenerThatComesBackWhileItDrainsNeverRefusedAnybody()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        using var idle = await bed.ConnectAsync();
        await idle.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        await idle.ReadAnswerAsync();
        var snapshot = bed.Snapshots.Current;
        bed.Snapshots.Publish(Bed.Snap((Listener?)null));
        bed.Snapshots.Publish(snapshot);
        // Longer than the drain takes: the port is not closed under the one that came back.
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < TimeSpan.FromSeconds(3); await Task.Delay(10))
        {
            var answer = await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
            Assert.Equal("hello", answer!.Body);
            Assert.Empty(answer.Values("Connection"));
        }

        Assert.Equal("", await idle.ReadToEndAsync());
    }

    [Fact]
    public async Task AListenerThatComesBackJustAsItsPortClosesIsOpenAtOnce()
    {
        await using var origin = RecordingOrigin.Friendly();
        // The clock stands still: the second try that a timer would make never comes.
        var time = new ManualTimeProvider();
        var bed = await Bed.StartAsync(a => Bed.Snap(Bed.HttpListener(a, Bed.Table(Bed.Cluster(origin.Address)))), time, port: FreePorts.One());
        try
        {
            var snapshot = bed.Snapshots.Current;
            for (var i = 0; i < 50; i++)
            {
                await Eventually.TrueAsync(() => bed.Sink.Own.DownstreamOpen.Value == 0);
                bed.Snapshots.Publish(Bed.Snap((Listener?)null)); // nothing is open: it closes at once
                bed.Snapshots.Publish(snapshot);
                await Eventually.PassesAsync(async () => Assert.Equal("hello", (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n"))?.Body));
            }
        }
        finally
        {
            var ending = bed.DisposeAsync().AsTask();
            while (await Task.WhenAny(ending, Task.Delay(5)) != ending) time.Advance(TimeSpan.FromSeconds(1));
            await ending;
        }
    }

    [Fact]
    public async Task ANewListenerOpens()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)));
        var added = Bed.Nowhere();
        bed.Snapshots.Publish(Bed.Snap(
            Bed.HttpListener(bed.Port, Bed.Table(Bed.Cluster(origin.Address))),
            Bed.HttpListener(added, Bed.Table(Bed.Cluster(origin.Address)), Direction.Inbound, slot: 1)));
        using var client = await RawClient.ConnectAsync(added);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
    }

    [Fact]
    public async Task ADrainUnderLoadLosesNothing()
    {
        await using var origin = Ledger();
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)), Direction.Inbound);
        using var stop = new CancellationTokenSource();
        var load = Enumerable.Range(0, 8).Select(n => LoadAsync(bed.Port, n, stop.Token)).ToArray();
        await Eventually.TrueAsync(() => origin.Requests.Count() > 200);
        var drained = bed.Path.DrainInboundAsync(TimeSpan.FromSeconds(10));
        await Task.Delay(100); // who calls hears of it later; until then new connections are served
        await stop.CancelAsync();
        await drained;
        var sent = (await Task.WhenAll(load)).Sum();
        Assert.Equal(sent, origin.Requests.Count());
        Assert.Equal(sent, origin.Requests.Select(r => r.Line).Distinct().Count());
    }

    /// <summary>Who connects while a port is closed is refused, never accepted and then reset.</summary>
    [Fact]
    public async Task NobodyConnectsToASocketThatIsAboutToClose()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(16);
        var port = (IPEndPoint)listener.LocalEndPoint!;
        using var early = await RawClient.ConnectAsync(port);
        Newcomers.KeepAway(listener);
        var late = RawClient.ConnectAsync(port);

        // Who was there before is served.
        using var accepted = await listener.AcceptAsync();
        await early.SendAsync("hello");
        var got = new byte[5];
        await new NetworkStream(accepted).ReadExactlyAsync(got);
        await accepted.SendAsync(got);
        Assert.Equal("hello", await early.ReadAsync(5));

        Assert.False(late.IsCompleted);
        listener.Dispose();
        await Assert.ThrowsAsync<SocketException>(() => late);
        await early.SendAsync("still");
        await new NetworkStream(accepted).ReadExactlyAsync(got);
    }

    [Fact]
    public async Task AnIdleConnectionIsClosedByADrainAndAHungOneAtItsBound()
    {
        await using var origin = new RecordingOrigin(async c =>
        {
            await c.ReadRequestAsync();
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            await c.ReadToEndAsync();
        });
        await using var bed = await Bed.HttpAsync(Bed.Table(Bed.Cluster(origin.Address)), Direction.Inbound);
        using var idle = await bed.ConnectAsync();
        await idle.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
        await idle.ReadAnswerAsync();
        using var hung = await bed.ConnectAsync();
        await hung.SendAsync("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\n");
        await bed.Path.DrainInboundAsync(TimeSpan.FromSeconds(1)).WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal("", await idle.ReadToEndAsync());
        await hung.ReadToEndAsync();
    }

    /// <summary>Waits until the origins have got that many requests more, or a client has given up.</summary>
    private static Task MoreAsync(Task[] load, int count, params RecordingOrigin[] origins)
    {
        var wanted = Sum() + count;
        return Eventually.TrueAsync(() => Sum() >= wanted || load.Any(l => l.IsCompleted), () => $"{Sum()} of {wanted} requests");

        int Sum() => origins.Sum(o => o.Requests.Count());
    }

    /// <summary>Remembers every request line, answers a little later.</summary>
    private static RecordingOrigin Ledger() => new(async c =>
    {
        while (await c.ReadRequestAsync() is not null)
        {
            await Task.Yield();
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });

    /// <summary>Requests one after the other, each with a name of its own; a new connection when the answer says so. No request is repeated.</summary>
    private static async Task<int> LoadAsync(IPEndPoint to, int number, CancellationToken stop)
    {
        var sent = 0;
        RawClient? client = null;
        try
        {
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    client ??= await RawClient.ConnectAsync(to);
                }
                catch (SocketException)
                {
                    return sent; // the listener is closed: nothing was sent
                }

                await client.SendAsync($"POST /{number}/{sent} HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nhi");
                var answer = await client.ReadAnswerAsync();
                Assert.True(answer is { Status: 200 }, $"request {number}/{sent}: {answer?.Head ?? "no answer"}{answer?.Body}");
                sent++;
                if (answer!.Values("Connection") is not ["close"]) continue;
                client.Dispose();
                client = null;
            }

            return sent;
        }
        finally
        {
            client?.Dispose();
        }
    }
}

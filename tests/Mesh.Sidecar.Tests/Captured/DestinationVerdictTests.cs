using System.Net;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.Grpc;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Config.Builders;
using Mesh.Sidecar.Listening;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using MeshRanges = Mesh.Sidecar.Config.MeshRanges;
using Proto = Mesh.Api.V1.MeshRanges;
using Wire = Mesh.Api.V1.DestinationAnswer.Types.Verdict;

namespace Mesh.Sidecar.Tests.Captured;

/// <summary>Not knowing is not permission: what may be called in plaintext.</summary>
public sealed class DestinationVerdictTests
{
    private static readonly MeshRanges Ranges = Read(new Proto
    {
        Ranges =
        {
            Range("240.0.0.0", 4, Proto.Types.Kind.Virtual), Range("10.0.0.0", 8, Proto.Types.Kind.Pod), Range("10.96.0.0", 16, Proto.Types.Kind.Service),
            Range("fd00::", 8, Proto.Types.Kind.Pod), Range("fd00:aaaa::", 32, Proto.Types.Kind.Virtual),
        },
        ControlPlanePorts = { 15012 },
    });

    private readonly ManualTimeProvider time = new();
    private readonly List<DestinationQuery> asked = [];
    private Func<Task<DestinationAnswer>> answer = () => Task.FromResult(new DestinationAnswer { Verdict = Wire.NotMeshed, ValidFor = Duration.FromTimeSpan(TimeSpan.FromMinutes(1)) });

    [Theory]
    [InlineData("192.0.2.1", 80, null, 0)] // nobody's: the outbound policy's business
    [InlineData("2001:db8::1", 80, null, 0)]
    [InlineData("10.1.2.3", 80, null, 1)]
    [InlineData("10.96.0.1", 80, null, 1)]
    [InlineData("fd77::1", 80, null, 1)]
    [InlineData("240.0.0.9", 80, "no_service", 0)]
    [InlineData("fd00:aaaa::9", 80, "no_service", 0)]
    [InlineData("10.1.2.3", 15012, null, 0)] // a control plane's
    public async Task InsideTheRangesItIsAsked(string address, int port, string? refused, int questions)
    {
        var verdict = await Verdicts().OfAsync(Snap(Ranges), new IPEndPoint(IPAddress.Parse(address), port));
        Assert.Equal(refused, verdict.Refusal?.Reason);
        Assert.Equal(questions, asked.Count);
        if (questions > 0) Assert.Equal((IPAddress.Parse(address), (uint)port), (new IPAddress(asked[0].Address.Span), asked[0].Port));
    }

    [Fact]
    public async Task WithoutRangesNothingGoesOut()
    {
        Assert.Equal("no_ranges", (await Verdicts().OfAsync(Snap(null), At("192.0.2.1"))).Refusal!.Reason);
        Assert.Null((await Verdicts().OfAsync(Snap(MeshRanges.None), At("192.0.2.1"))).Refusal);
    }

    [Fact]
    public async Task ManyAskOnce()
    {
        var open = new TaskCompletionSource<DestinationAnswer>();
        answer = () => open.Task;
        var verdicts = Verdicts();
        var waiting = Enumerable.Range(0, 1000).Select(_ => verdicts.OfAsync(Snap(Ranges), At("10.0.0.1")).AsTask()).ToList();
        open.SetResult(new DestinationAnswer { Verdict = Wire.NotMeshed });
        Assert.All(await Task.WhenAll(waiting), v => Assert.Null(v.Refusal));
        Assert.Single(asked);
        Assert.True(verdicts.OfAsync(Snap(Ranges), At("10.0.0.1")).IsCompleted);
        Assert.Single(asked);
    }

    [Fact]
    public async Task NoAnswerInTwoSecondsIsARefusal()
    {
        answer = () => new TaskCompletionSource<DestinationAnswer>().Task;
        var verdict = Verdicts().OfAsync(Snap(Ranges), At("10.0.0.1")).AsTask();
        time.Advance(TimeSpan.FromSeconds(1.9));
        Assert.False(verdict.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(0.2));
        Assert.Equal("unanswered", (await verdict).Refusal!.Reason);
    }

    [Theory]
    [InlineData(Wire.Unspecified)]
    [InlineData(Wire.Meshed)] // without identities: anybody could answer
    [InlineData((Wire)77)]
    public async Task AnAnswerThatSaysNothingIsNoPermission(Wire said)
    {
        answer = () => Task.FromResult(new DestinationAnswer { Verdict = said });
        Assert.Equal("unanswered", (await Verdicts().OfAsync(Snap(Ranges), At("10.0.0.1"))).Refusal!.Reason);
    }

    [Fact]
    public async Task AnswersAreKeptWhileTheControlPlaneIsAway()
    {
        var verdicts = Verdicts();
        await verdicts.OfAsync(Snap(Ranges), At("10.0.0.1"));
        answer = () => throw new GrpcException(new GrpcStatus(GrpcStatusCode.Unavailable, "away"));
        for (var hour = 0; hour < 24; hour++)
        {
            time.Advance(TimeSpan.FromHours(1));
            Assert.Null((await verdicts.OfAsync(Snap(Ranges), At("10.0.0.1"))).Refusal);
        }

        Assert.Equal(25, asked.Count); // asked again each time, in vain
        Assert.Equal("unanswered", (await verdicts.OfAsync(Snap(Ranges), At("10.0.0.2"))).Refusal!.Reason);
        // It comes back, and the address is a workload's now.
        answer = () => Task.FromResult(new DestinationAnswer { Verdict = Wire.Meshed, Identities = { "spiffe://cluster.local/ns/shop/sa/b", "spiffe://cluster.local/ns/shop/sa/a" }, Service = "web.shop.svc.cluster.local", Workload = "web-1", Namespace = "shop" });
        time.Advance(TimeSpan.FromMinutes(1));
        var meshed = (await verdicts.OfAsync(Snap(Ranges), At("10.0.0.1"))).Meshed!;
        Assert.Equal(["spiffe://cluster.local/ns/shop/sa/a", "spiffe://cluster.local/ns/shop/sa/b"], meshed.Endpoints.Single().Tls!.Expected.Exact.ToArray());
        Assert.Equal(("web", "shop", 80), (meshed.Service.Name, meshed.Service.Namespace, meshed.Service.Port));
        Assert.Equal(At("10.0.0.1"), meshed.Endpoints.Single().Address);
    }

    [Fact]
    public async Task AnswersOfBeforeARestartHoldWhileNobodyCanBeAsked()
    {
        var before = Verdicts();
        var told = 0;
        before.Changed += () => told++;
        await before.OfAsync(Snap(Ranges), At("10.0.0.1"));
        answer = () => Task.FromResult(new DestinationAnswer { Verdict = Wire.Meshed, Identities = { "spiffe://cluster.local/ns/shop/sa/web" } });
        await before.OfAsync(Snap(Ranges), At("fd00::7"));
        answer = () => Task.FromResult(new DestinationAnswer { Verdict = Wire.Refused, Reason = "quarantined" });
        await before.OfAsync(Snap(Ranges), At("10.0.0.3"));
        Assert.Equal(3, told);
        var kept = before.Answers.ToList();
        kept.Add(new KeptConfiguration.Types.Destination());
        kept.Add(new KeptConfiguration.Types.Destination { Query = new DestinationQuery { Address = ByteString.CopyFrom(10, 0, 0), Port = 80 }, Answer = new DestinationAnswer { Verdict = Wire.NotMeshed } });
        kept.Add(new KeptConfiguration.Types.Destination { Query = new DestinationQuery { Address = ByteString.CopyFrom(10, 0, 0, 9), Port = 80 }, Answer = new DestinationAnswer { Verdict = Wire.Meshed } });

        var after = Verdicts();
        after.Remember(kept);
        Assert.Equal(3, after.Count);
        asked.Clear();
        answer = () => throw new GrpcException(new GrpcStatus(GrpcStatusCode.Unavailable, "away"));
        Assert.Equal((null, null), Of(await after.OfAsync(Snap(Ranges), At("10.0.0.1"))));
        Assert.NotNull((await after.OfAsync(Snap(Ranges), At("fd00::7"))).Meshed);
        Assert.Equal("refused", (await after.OfAsync(Snap(Ranges), At("10.0.0.3"))).Refusal!.Reason);
        Assert.Equal("unanswered", (await after.OfAsync(Snap(Ranges), At("10.0.0.9"))).Refusal!.Reason);
        Assert.Equal(4, asked.Count);

        // The control plane is back, and knows better.
        answer = () => Task.FromResult(new DestinationAnswer { Verdict = Wire.Refused, Reason = "gone" });
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal("refused", (await after.OfAsync(Snap(Ranges), At("10.0.0.1"))).Refusal!.Reason);

        static (Cluster?, CaptureRefusal?) Of(Verdict verdict) => (verdict.Meshed, verdict.Refusal);
    }

    [Fact]
    public async Task RefusalsAreTheControlPlanesWords()
    {
        answer = () => Task.FromResult(new DestinationAnswer { Verdict = Wire.Refused, Reason = "quarantined" });
        var refusal = (await Verdicts().OfAsync(Snap(Ranges), At("10.0.0.1"))).Refusal!;
        Assert.Equal("refused", refusal.Reason);
        Assert.Contains("quarantined", refusal.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhatIsKeptIsBounded()
    {
        var verdicts = Verdicts();
        for (var i = 0; i < 25_000; i++) await verdicts.OfAsync(Snap(Ranges), At($"10.{i >> 16}.{(i >> 8) & 255}.{i & 255}"));
        Assert.InRange(verdicts.Count, 5_000, 10_000);
    }

    [Fact]
    public void RangesThatSayNothingAreRefused()
    {
        var bad = new Proto
        {
            Ranges = { Range("10.0.0.0", 33, Proto.Types.Kind.Pod), new Proto.Types.Range { Address = ByteString.CopyFrom(1, 2), Prefix = 8, Kind = (Proto.Types.Kind)9 } },
            OutboundPolicy = (Proto.Types.OutboundPolicy)7,
            ControlPlanePorts = { 70_000 },
        };
        var errors = new ConfigErrors();
        var set = ResourceSetBuilder.With(ResourceSet.Empty, TypeUrls.MeshRanges, "1", [Any.Pack(bad)], errors);
        Assert.Same(ResourceSet.Empty, set);
        Assert.Equal(5, errors.Count);
        Assert.Contains(errors.Texts, e => e.Contains("ranges[0].prefix: 33 is longer than the address", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("192.0.2.7", true)]
    [InlineData("::ffff:192.0.2.7", true)]
    [InlineData("192.0.2.71", true)]
    [InlineData("2001:db8::7", true)]
    [InlineData("192.0.2.8", false)]
    [InlineData("2001:db8::47", false)]
    public async Task AWorkloadsAddressIsAskedWhereverItIs(string address, bool isAsked)
    {
        var ranges = Read(new Proto(), Part(7, ["192.0.2.7", "192.0.2.71"], ["2001:db8::7"]), Part(8, [], []));
        await Verdicts().OfAsync(Snap(ranges), At(address));
        Assert.Equal(isAsked ? 1 : 0, asked.Count);
        var peers = new MeshPeers(new RegisteredAddresses());
        Assert.Equal(isAsked, peers.MayBe(IPAddress.Parse(address), new Snapshot { Ranges = ranges }));
    }

    [Theory]
    [InlineData("workloads/64", "192.0.2.7", "name: \"workloads/64\" is not known")]
    [InlineData("workloads/7", "192.0.2.8", "workloads4: 192.0.2.8 is none of this part")]
    [InlineData("workloads/7", "192.0.2.71 192.0.2.7", "workloads4: 192.0.2.7 is out of order")]
    [InlineData("workloads/7", "192.0.2.7 192.0.2.7", "workloads4: 192.0.2.7 is out of order")]
    [InlineData("workloads/7", "2001:db8::7 192.0.2.7 -", "workloads4: is of 19 bytes")]
    public void PartsInWhichAddressesWouldNotBeFoundAreRefused(string name, string addresses, string error)
    {
        var bytes = addresses.Split(' ').SelectMany(text => text == "-" ? [] : IPAddress.Parse(text).GetAddressBytes()).ToArray();
        var bad = new Proto { Name = name, Workloads4 = ByteString.CopyFrom(addresses.EndsWith('-') ? bytes[1..] : bytes) };
        var errors = new ConfigErrors();
        Assert.Same(ResourceSet.Empty, ResourceSetBuilder.With(ResourceSet.Empty, TypeUrls.MeshRanges, "1", [Any.Pack(bad)], errors));
        Assert.Contains(errors.Texts, text => text.Contains(error, StringComparison.Ordinal));
    }

    private static Proto Part(int number, string[] v4, string[] v6) => new()
    {
        Name = $"workloads/{number}",
        Workloads4 = ByteString.CopyFrom([.. v4.SelectMany(address => IPAddress.Parse(address).GetAddressBytes())]),
        Workloads6 = ByteString.CopyFrom([.. v6.SelectMany(address => IPAddress.Parse(address).GetAddressBytes())]),
    };

    /// <summary>A registered address is the mesh's own on any port, ranges or none.</summary>
    [Fact]
    public async Task AnEndpointsAddressIsAskedForToo()
    {
        var snapshot = new Snapshot { Number = 1, Listeners = [], Ranges = Ranges, Clusters = [Bed.Cluster(new IPEndPoint(IPAddress.Parse("192.0.2.7"), 8080), new IPEndPoint(IPAddress.Loopback, 8080))] };
        answer = () => throw new GrpcException(new GrpcStatus(GrpcStatusCode.Unavailable, "away"));
        Assert.Equal("unanswered", (await Verdicts().OfAsync(snapshot, At("192.0.2.7"))).Refusal!.Reason);
        Assert.Equal("unanswered", (await Verdicts().OfAsync(snapshot, At("::ffff:192.0.2.7"))).Refusal!.Reason);
        Assert.Null((await Verdicts().OfAsync(snapshot, At("192.0.2.8"))).Refusal);
        Assert.Null((await Verdicts().OfAsync(snapshot, At("127.0.0.1"))).Refusal);
        // Without a control plane to ask, a file is all there is to know.
        Assert.Null((await new DestinationVerdicts(null, time).OfAsync(snapshot, At("192.0.2.7"))).Refusal);
    }

    private static Snapshot Snap(MeshRanges? ranges) => new() { Number = 1, Listeners = [], Ranges = ranges };

    private static MeshRanges Read(params Proto[] protos)
    {
        var errors = new ConfigErrors();
        var set = ResourceSetBuilder.With(ResourceSet.Empty with { RangesWanted = true }, TypeUrls.MeshRanges, "1", [.. protos.Select(Any.Pack)], errors);
        Assert.Empty(errors.Texts);
        Assert.Empty(set.Missing());
        return new Linker().Link(set).Ranges!;
    }

    private static Proto.Types.Range Range(string address, uint prefix, Proto.Types.Kind kind) =>
        new() { Address = ByteString.CopyFrom(IPAddress.Parse(address).GetAddressBytes()), Prefix = prefix, Kind = kind };

    private static IPEndPoint At(string address) => new(IPAddress.Parse(address), 80);

    private DestinationVerdicts Verdicts() => new((query, cancel) =>
    {
        lock (asked) asked.Add(query);
        return answer().WaitAsync(cancel);
    }, time);
}

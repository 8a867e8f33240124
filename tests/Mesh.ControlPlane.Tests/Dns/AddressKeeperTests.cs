using System.Collections.Immutable;
using System.Net;
using Mesh.Api.Logging;
using Mesh.ControlPlane.Dns;
using Mesh.ControlPlane.Identity.Stores;
using Mesh.ControlPlane.Model;
using Mesh.ControlPlane.Sources.Consul;
using Mesh.ControlPlane.Tests.Model;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Dns;

/// <summary>Virtual addresses over real stores: kept over restarts, agreed on by replicas, never in the way of what was given out.</summary>
public sealed class AddressKeeperTests : IDisposable
{
    private static readonly ImmutableArray<IPNetwork> Default = NetworkTerms.DefaultVirtualRanges;
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task Services_without_an_address_get_one_and_keep_it_over_a_restart()
    {
        ImmutableArray<string> web;
        await using (var first = new Replica(Folder(), Default, "web", "shop/db"))
        {
            await first.HasAsync("web", "shop/db");
            web = first.Of("web");
            Assert.Equal(2, web.Length);
            first.Add("late");
            await first.HasAsync("web", "shop/db", "late");
        }

        // A service that is not there yet after the restart has not lost its address.
        await using var second = new Replica(Folder(), Default, "other");
        await second.HasAsync("other");
        Assert.Equal(web.AsEnumerable(), second.Of("web"));
        second.Add("web");
        await second.HasAsync("web");
        Assert.Equal(web.AsEnumerable(), second.Of("web"));
    }

    [Fact]
    public async Task Services_with_an_address_and_headless_ones_get_none()
    {
        await using var replica = new Replica(Folder(), Default);
        replica.Store.SetRules(SourceOrder.Files, new RuleSet
        {
            Services =
            [
                Given.Service("has", new ServicePort(80, "", AppProtocol.Http)) with { ClusterIPs = ["10.96.0.1"] },
                Given.Service("pods", new ServicePort(80, "", AppProtocol.Http)) with { Headless = true },
                Given.Service("needs", new ServicePort(80, "", AppProtocol.Http)),
            ],
        });
        await replica.HasAsync("needs");
        Assert.Empty(replica.Of("has"));
        Assert.Empty(replica.Of("pods"));
    }

    [SkippableFact]
    public async Task Two_control_planes_on_one_consul_agree_though_they_give_out_at_the_same_instant()
    {
        Skip.IfNot(ConsulProcess.IsAvailable, ConsulProcess.SkipReason);
        await using var consul = await ConsulProcess.StartAsync();
        var names = Enumerable.Range(0, 300).Select(number => $"shop/s{number}").ToArray();
        // A range so small that hashes meet.
        ImmutableArray<IPNetwork> ranges = [IPNetwork.Parse("10.1.0.0/23")];
        using var one = Client(consul);
        using var other = Client(consul);
        await using var left = new Replica(Store(one), ranges, [.. names.Take(200)]);
        await using var right = new Replica(Store(other), ranges, [.. names.Skip(100)]);
        await left.HasAsync([.. names]);
        await right.HasAsync([.. names]);
        Assert.Equal(names.Select(name => (name, left.Of(name).Single())), names.Select(name => (name, right.Of(name).Single())));
        Assert.Equal(300, names.Select(name => left.Of(name).Single()).Distinct().Count());

        // Each learns what the other gives out later.
        right.Add("shop/later");
        await left.HasAsync("shop/later");
        Assert.Equal(left.Of("shop/later").AsEnumerable(), right.Of("shop/later"));
    }

    [SkippableFact]
    public async Task Consul_away_stops_nothing_but_new_addresses()
    {
        Skip.IfNot(ConsulProcess.IsAvailable, ConsulProcess.SkipReason);
        await using var consul = await ConsulProcess.StartAsync();
        using var client = Client(consul);
        await using var replica = new Replica(Store(client), Default, "web");
        await replica.HasAsync("web");
        var web = replica.Of("web");
        await consul.StopAsync();
        replica.Add("late");
        await replica.SaysAsync("no new virtual addresses are given out");
        Assert.Equal(web.AsEnumerable(), replica.Of("web"));
        Assert.True(replica.Store.Current.Virtual.IsKnown);
    }

    [Fact]
    public async Task Fifty_thousand_services_keep_their_addresses_over_a_restart()
    {
        var names = Enumerable.Range(0, 50_000).Select(number => Given.Name($"team-{number % 50}/service-of-some-length-{number}")).ToHashSet();
        var book = AddressPlan.Next(AddressBook.Empty, names, new PlanTerms(Default, DateTimeOffset.UtcNow));
        Assert.Equal(100_000, book.Taken.Count);
        var (store, bytes) = (Folder(), book.Write());
        Assert.True(await store.CreateAsync(AddressKeeper.BookName, bytes, CancellationToken.None), $"{bytes.Length} bytes");
        await using var replica = new Replica(store, Default, "team-7/service-of-some-length-7");
        await replica.HasAsync("team-49/service-of-some-length-49999");
        Assert.Equal(book.Leases[Given.Name("team-7/service-of-some-length-7")].Addresses.Select(address => address.ToString()), replica.Of("team-7/service-of-some-length-7"));
    }

    [Fact]
    public async Task An_exhausted_range_is_said_until_there_is_room()
    {
        await using var replica = new Replica(Folder(), [IPNetwork.Parse("10.1.0.0/30")], "a", "b", "c");
        await replica.SaysAsync("default/c gets no virtual address of one family or both: the ranges 10.1.0.0/30 are exhausted, by 2 addresses");
        Assert.Equal(2, replica.Store.Current.Virtual.ByService.Count);
    }

    [Fact]
    public async Task A_book_that_cannot_be_read_is_said_and_nothing_is_written_over_it()
    {
        var store = Folder();
        await store.CreateAsync(AddressKeeper.BookName, new byte[] { 1, 2, 3 }, CancellationToken.None);
        await using var replica = new Replica(store, Default, "web");
        await replica.SaysAsync($"the entry book/addresses in {store.Place} cannot be read");
        Assert.False(replica.Store.Current.Virtual.IsKnown);
        Assert.Equal(3, (await store.ReadAsync(AddressKeeper.BookName, CancellationToken.None))!.Content.Length);
    }

    [Fact]
    public async Task Forged_addresses_out_of_the_ranges_mean_nothing()
    {
        var store = Folder();
        var forged = new AddressBook(ImmutableSortedDictionary<ServiceName, AddressLease>.Empty.Add(Given.Name("web"), new AddressLease([IPAddress.Loopback], DateTimeOffset.UtcNow)));
        await store.CreateAsync(AddressKeeper.BookName, forged.Write(), CancellationToken.None);
        await using var replica = new Replica(store, Default, "web");
        await replica.HasAsync("web");
        Assert.DoesNotContain("127.0.0.1", replica.Of("web"));
    }

    private FolderStore Folder() => new(folder.Path, TimeProvider.System);

    private static ConsulClient Client(ConsulProcess consul) => new(new ConsulOptions { Address = consul.Address }, TimeProvider.System);

    private static ConsulKvStore Store(ConsulClient client) => new(client, "mesh/addresses/", seal: null);

    /// <summary>A control plane as far as addresses go.</summary>
    private sealed class Replica : IAsyncDisposable
    {
        private readonly CancellationTokenSource stop = new();
        private readonly AddressKeeper keeper;
        private readonly Task loop;
        private ImmutableArray<Instance> instances = [];

        public Replica(IAuthorityStore store, ImmutableArray<IPNetwork> ranges, params string[] services)
        {
            Add(services);
            keeper = new AddressKeeper(store, Store, new KeeperTerms(ranges), (TimeProvider.System, new Random(1)), Log.Silent);
            loop = keeper.RunAsync(stop.Token);
        }

        public WorldStore Store { get; } = new();

        public void Add(params string[] services)
        {
            instances = instances.AddRange(services.Select(service => Given.Workload(service.Replace('/', '-') + "-1", service, "80:http")));
            Store.SetInstances(SourceOrder.Workloads, instances);
        }

        public ImmutableArray<string> Of(string service) => Store.Current.Virtual.Of(Given.Name(service));

        public Task HasAsync(params string[] services) =>
            Eventually.HoldsAsync(() => services.All(service => !Of(service).IsEmpty), $"all {services.Length} services have an address");

        public Task SaysAsync(string words) => Eventually.HoldsAsync(() => Store.Current.Notices.Any(notice => notice.Text.Contains(words, StringComparison.Ordinal)), words);

        public async ValueTask DisposeAsync()
        {
            await stop.CancelAsync();
            await loop.ContinueWith(_ => { }, TaskScheduler.Default);
            keeper.Dispose();
            stop.Dispose();
        }
    }
}

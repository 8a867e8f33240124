using Mesh.ControlPlane.Sources.Registry.Store;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Registry.Store;

/// <summary>Which change moves which index: watchers must wake for what concerns them and sleep through the rest.</summary>
public sealed class CatalogIndexTests
{
    private readonly RegistryStore store = new(new RegistryState(), new WatchHub(10), new ManualTimeProvider());

    public static TheoryData<string, string> Moves => new()
    {
        { "same service", "" },
        { "service changed", "one catalog nodes node" },
        { "node check", "one checks" },
        { "service check", "one checks" },
        { "foreign service check", "two checks" },
        { "node changed", "one nodes node" },
        { "service removed", "one catalog nodes node checks" },
        { "foreign node removed", "two catalog nodes checks" },
        { "key set", "keys" },
    };

    [Theory]
    [MemberData(nameof(Moves))]
    public void A_change_moves_the_indexes_of_what_it_concerns_only(string change, string moved)
    {
        Set("a", "one", 1);
        Set("b", "two", 1);
        var before = Indexes(store.Current);
        Apply(change);
        var after = Indexes(store.Current);
        Assert.Equal(moved.Split(' ', StringSplitOptions.RemoveEmptyEntries).Order(), after.Keys.Where(k => after[k] > before[k]).Order());
        Assert.All(after.Keys, k => Assert.True(after[k] >= before[k], $"{k} fell"));
    }

    [Fact]
    public void A_service_that_is_not_there_has_the_index_of_the_last_that_left()
    {
        Set("a", "one", 1);
        Set("b", "two", 1);
        Change(d => d.RemoveService("b", "two"));
        var left = store.Current.Index;
        Set("a", "one", 2);
        Assert.Equal(left, store.Current.IndexOfService("nope"));
        Assert.Equal(left, store.Current.IndexOfService("two"));
    }

    [Fact]
    public void A_service_registered_under_another_name_leaves_the_former_one()
    {
        Set("a", "one", 1);
        Change(d => d.SetService("a", new ServiceEntry { Id = "one", Name = "renamed" }));
        Assert.Empty(store.Current.InstancesOf("one"));
        Assert.Single(store.Current.InstancesOf("RENAMED"));
    }

    [Fact]
    public void A_rejected_draft_changes_nothing()
    {
        Set("a", "one", 1);
        var before = store.Current;
        store.Change(d =>
        {
            d.SetKey("k", [1], 0);
            d.RemoveNode("a");
            d.Reject();
            return true;
        });
        Assert.Same(before, store.Current);
    }

    [Fact]
    public void A_node_that_comes_back_under_another_name_takes_the_place_of_its_former_self()
    {
        var id = Guid.NewGuid().ToString();
        Change(d => d.SetNode(new NodeEntry { Name = "old", Id = id }));
        var created = store.Current.Nodes["old"].CreateIndex;
        Change(d => d.SetNode(new NodeEntry { Name = "new", Id = id }));
        Assert.Equal(["new"], store.Current.Nodes.Keys);
        Assert.Equal(created, store.Current.Nodes["new"].CreateIndex);
    }

    private static Dictionary<string, ulong> Indexes(RegistryState s) => new()
    {
        ["one"] = s.IndexOfService("one"),
        ["two"] = s.IndexOfService("two"),
        ["catalog"] = s.ServicesIndex,
        ["nodes"] = s.NodesIndex,
        ["node"] = s.IndexOfNode("a"),
        ["checks"] = s.ChecksIndex,
        ["keys"] = s.Kv.Index,
    };

    private void Apply(string change) => Change(d => _ = change switch
    {
        "same service" => d.SetService("a", new ServiceEntry { Id = "one", Name = "one", Port = 1 }),
        "service changed" => d.SetService("a", new ServiceEntry { Id = "one", Name = "one", Port = 2 }),
        "node check" => d.SetCheck(new CheckEntry { Node = "a", Id = "n" }),
        "service check" => d.SetCheck(new CheckEntry { Node = "a", Id = "s", ServiceId = "one" }),
        "foreign service check" => d.SetCheck(new CheckEntry { Node = "b", Id = "s", ServiceId = "two" }),
        "node changed" => d.SetNode(new NodeEntry { Name = "a", Address = "10.9.9.9" }),
        "service removed" => Done(() => d.RemoveService("a", "one")),
        "foreign node removed" => Done(() => d.RemoveNode("b")),
        "key set" => Done(() => d.SetKey("k", [1], 0)),
        _ => throw new ArgumentOutOfRangeException(nameof(change)),
    });

    private static string? Done(Action action)
    {
        action();
        return null;
    }

    private void Set(string node, string service, int port) => Change(d =>
    {
        Assert.Null(d.SetNode(new NodeEntry { Name = node, Address = "10.0.0.1" }));
        Assert.Null(d.SetService(node, new ServiceEntry { Id = service, Name = service, Port = port }));
    });

    private void Change(Action<RegistryDraft> change) => store.Change(d =>
    {
        change(d);
        return true;
    });
}

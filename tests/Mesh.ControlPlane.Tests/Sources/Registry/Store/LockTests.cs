using Mesh.ControlPlane.Sources.Registry.Store;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Sources.Registry.Store;

public sealed class LockTests
{
    private readonly ManualTimeProvider time = new();
    private readonly RegistryStore store;

    public LockTests()
    {
        store = new RegistryStore(new RegistryState(), new WatchHub(10), time);
        store.Change(d => d.SetNode(new NodeEntry { Name = "n" }));
        store.Change(d => d.SetCheck(new CheckEntry { Node = "n", Id = "up", Status = CheckStatus.Passing }));
    }

    [Fact]
    public void Only_one_session_holds_a_key()
    {
        Begin("a");
        Begin("b");
        Assert.True(Lock("a"));
        Assert.True(Lock("a"));
        Assert.False(Lock("b"));
        Assert.False(store.Change(d => d.Unlock("k", [], 0, "b")));
        Assert.True(store.Change(d => d.Unlock("k", [], 0, "a")));
        Assert.True(Lock("b"));
        Assert.Equal(2UL, store.Current.Kv.Find("k")!.LockIndex);
    }

    [Theory]
    [InlineData("destroyed")]
    [InlineData("check critical")]
    [InlineData("check removed")]
    [InlineData("node removed")]
    public void A_lost_session_frees_its_keys_after_the_lock_delay(string cause)
    {
        Begin("a");
        store.Change(d => d.SetNode(new NodeEntry { Name = "other" }));
        store.Change(d => d.BeginSession(new SessionEntry { Id = "b", Node = "other" }));
        Assert.True(Lock("a"));
        store.Change(d =>
        {
            switch (cause)
            {
                case "destroyed": d.EndSession("a"); break;
                case "check critical": d.SetCheckStatus("n", "up", CheckStatus.Critical, ""); break;
                case "check removed": d.RemoveCheck("n", "up"); break;
                default: d.RemoveNode("n"); break;
            }

            return true;
        });
        Assert.Equal("", store.Current.Kv.Find("k")!.Session);
        Assert.False(Lock("b"));
        time.Advance(TimeSpan.FromSeconds(14));
        Assert.False(Lock("b"));
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.True(Lock("b"));
    }

    [Fact]
    public void A_session_that_deletes_takes_its_keys_with_it()
    {
        store.Change(d => d.BeginSession(new SessionEntry { Id = "a", Node = "n", DeletesKeys = true }));
        Assert.True(Lock("a"));
        store.Change(d =>
        {
            d.EndSession("a");
            return true;
        });
        Assert.Null(store.Current.Kv.Find("k"));
    }

    private void Begin(string id) => Assert.Null(store.Change(d =>
        d.BeginSession(new SessionEntry { Id = id, Node = "n", NodeChecks = ["up"], LockDelay = TimeSpan.FromSeconds(15) })));

    private bool Lock(string session) => store.Change(d => d.Lock("k", [1], 0, session));
}

using Mesh.EndToEnd.Tests.Testbed.Network;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>
/// The machines of the tests in <see cref="Group"/>: a customer and a buyer who only call; carts and stocks, each captured in another way; a world outside
/// that knows no mesh. Started by the first test that asks, ended after the last.
/// </summary>
public sealed class CapturedShop : IAsyncLifetime
{
    /// <summary>Name of the tests that share it: one after another, beside all others.</summary>
    public const string Group = "captured shop";

    private readonly Lazy<Task<ShopMachines>> machines = new(StartAsync);

    /// <inheritdoc/>
    public Task InitializeAsync() => Task.CompletedTask;

    /// <inheritdoc/>
    public async Task DisposeAsync()
    {
        if (machines.IsValueCreated && machines.Value.IsCompletedSuccessfully) await (await machines.Value).Mesh.DisposeAsync();
    }

    /// <summary>Runs a test on the machines; skips it where there can be none.</summary>
    internal async Task RunAsync(Func<ShopMachines, Task> test)
    {
        var shop = await machines.Value;
        await shop.Mesh.RunAsync(() => test(shop));
    }

    private static async Task<ShopMachines> StartAsync()
    {
        var mesh = await CapturedMesh.StartAsync();
        try
        {
            var customer = mesh.AddAsync("customer", "customer", new() { KeepsState = true });
            var buyer = mesh.AddAsync("buyer", "buyer", new() { Backend = "iptables" });
            var carts = new[]
            {
                AddAsync(mesh, "cart-1", "cart", new()), AddAsync(mesh, "cart-2", "cart", new() { Mode = "tproxy", Backend = "iptables" }),
                AddAsync(mesh, "stock-1", "stock", new() { Backend = "iptables", IsV6 = true }), AddAsync(mesh, "stock-2", "stock", new() { Mode = "tproxy", IsV6 = true }),
            };
            await Task.WhenAll([customer, buyer, .. carts]);
            var outside = mesh.Network.Add("outside", lan: 1);
            await outside.ServeAsync("serving", Python, CapturedMesh.Script("app.py"), "outside", "8080");
            foreach (var caller in new[] { await customer, await buyer }) await CapturedMesh.KnowsAsync(caller, await Task.WhenAll(carts));
            return new ShopMachines(mesh, await customer, await buyer, await Task.WhenAll(carts), outside);
        }
        catch
        {
            await mesh.DisposeAsync();
            throw;
        }
    }

    private static async Task<CapturedWorkload> AddAsync(CapturedMesh mesh, string name, string service, CaptureShape shape)
    {
        var added = await mesh.AddAsync(name, service, shape with { Ports = ["8080:http"] });
        await added.Host.ServeAsync("serving", Python, CapturedMesh.Script("app.py"), name, "8080");
        return added;
    }

    /// <summary>The system's own where it is there: wrappers of others cost more than the test.</summary>
    internal static string Python { get; } = File.Exists("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
}

/// <summary>The machines.</summary>
internal sealed record ShopMachines(CapturedMesh Mesh, CapturedWorkload Customer, CapturedWorkload Buyer, IReadOnlyList<CapturedWorkload> Instances, NetworkHost Outside);

/// <summary>Lets test classes share the machines.</summary>
[CollectionDefinition(CapturedShop.Group)]
public sealed class CapturedShopGroup : ICollectionFixture<CapturedShop>;

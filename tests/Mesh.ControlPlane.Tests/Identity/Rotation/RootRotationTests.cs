using System.Net.Http.Json;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Identity;
using Mesh.ControlPlane.Identity.Authority;
using Mesh.Tests;

namespace Mesh.ControlPlane.Tests.Identity.Rotation;

/// <summary>Changes of roots over real sockets, with real agents: at each moment everybody believes everybody.</summary>
public sealed class RootRotationTests
{
    [Fact]
    public async Task A_root_is_changed_while_everybody_believes_everybody_at_each_moment()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        await using var another = await mesh.StartAnotherAsync();
        await using var cart = await RotatingNode.JoinAsync(mesh, "cart");
        await using var web = await RotatingNode.JoinAsync(mesh, "web");
        // This one's stream is at the other control plane.
        await using var bank = await RotatingNode.JoinAsync(mesh, "bank", streamTo: another.Addresses["meshApi"]);
        RotatingNode[] nodes = [cart, web, bank];
        var old = Assert.Single((await StatusAsync(mesh)).Roots).Sha256;

        await RotateAsync(mesh, new RotationRequest(Rehearse: false));
        var phases = new HashSet<string>();
        var patience = System.Diagnostics.Stopwatch.StartNew();
        AuthorityStatus status;
        do
        {
            foreach (var (node, other) in nodes.SelectMany(node => nodes.Select(other => (node, other))))
            {
                var verdict = node.Judge(other);
                Assert.True(verdict.Ok, $"{other.Credentials.Svid.Id} is not believed: {verdict.Text}");
            }

            status = await StatusAsync(mesh);
            phases.Add(status.Rotation!.Phase);
            Assert.True(patience.Elapsed < TimeSpan.FromSeconds(120), $"{status.Rotation.Text}; waits for {string.Join(", ", status.Rotation.WaitingFor)}");
        }
        while (!status.Rotation.Done || nodes.Any(node => node.Credentials.Bundle.Roots.Length > 1));

        Assert.NotEqual(old, Assert.Single(status.Roots).Sha256);
        Assert.Subset(new HashSet<string> { "distribute", "renew", "done" }, phases);
        Assert.Contains("renew", phases);
        Assert.All(nodes, node => Assert.False(node.Credentials.Bundle.Contains(old)));

        // The control plane's own certificate is under the new root, and new workloads join by it.
        await using var late = await RotatingNode.JoinAsync(mesh, "late");
        Assert.True(cart.Judge(late).Ok && late.Judge(cart).Ok);
    }

    [Fact]
    public async Task A_connection_under_a_root_that_was_dropped_renews_nothing_and_ends()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var stolen = await mesh.JoinAsync("ns/shop/sa/cart");
        using var thief = mesh.Client(stolen);
        await using var stream = thief.Channel.Open(Mesh.Api.Workloads.WorkloadMethods.Register, default, CancellationToken.None);
        using (await thief.ObtainAsync())
        {
            // The connection is up.
        }

        // Nobody waits for him: that is what --force is for.
        for (var phase = 0; phase < 3 && !((await StatusAsync(mesh)).Rotation?.Done ?? false); phase++) await RotateAsync(mesh, new RotationRequest(Rehearse: false, Force: phase > 0));
        Assert.True((await StatusAsync(mesh)).Rotation!.Done);
        await Assert.ThrowsAsync<Mesh.Api.Grpc.GrpcException>(() => stream.ReadAsync(CancellationToken.None).AsTask().WaitAsync(TimeSpan.FromSeconds(30)));
        await Assert.ThrowsAsync<Mesh.Api.Grpc.GrpcException>(() => thief.ObtainAsync());
    }

    [Fact]
    public async Task Who_does_not_believe_the_new_root_holds_it_up_by_name_until_it_is_forced()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        await using var cart = await RotatingNode.JoinAsync(mesh, "cart");
        await using var deaf = await RotatingNode.JoinAsync(mesh, "deaf", acknowledges: false);
        await RotateAsync(mesh, new RotationRequest(Rehearse: false));
        await Eventually.PassesAsync(async () => Assert.Equal(["sidecar~127.0.0.1~deaf-1~shop"], (await StatusAsync(mesh)).Rotation!.WaitingFor));

        // Goes on where it was after a restart, and with another request.
        await mesh.RestartAsync();
        var again = await RotateAsync(mesh, new RotationRequest(Rehearse: false));
        Assert.Equal("distribute", again.Rotation!.Phase);
        Assert.Equal(2, again.Roots.Count);
        Assert.Equal("renew", (await RotateAsync(mesh, new RotationRequest(Rehearse: false, Force: true))).Rotation!.Phase);
        var done = await RotateAsync(mesh, new RotationRequest(Rehearse: false, Force: true));
        Assert.True(done.Rotation!.Done);
        Assert.Single(done.Roots);
        Assert.Contains("\"event\":\"rotation\"", await File.ReadAllTextAsync(Path.Combine(mesh.Data, "identity", "audit.log")));
    }

    [Fact]
    public async Task Who_is_gone_is_waited_for_until_his_certificate_ends()
    {
        await using var mesh = await IdentityTestbed.StartAsync(o => o with { Identity = new IdentityOptions { Lifetimes = new Lifetimes { Leaf = TimeSpan.FromSeconds(8), ShortestLeaf = TimeSpan.FromSeconds(1) } } });
        using var gone = await mesh.JoinAsync("ns/shop/sa/gone");
        var begun = await RotateAsync(mesh, new RotationRequest(Rehearse: false));
        Assert.Contains("ns/shop/sa/gone", Assert.Single(begun.Rotation!.WaitingFor));
        await Eventually.PassesAsync(async () => Assert.True((await StatusAsync(mesh)).Rotation!.Done));
        Assert.True(TimeProvider.System.GetUtcNow() > gone.NotAfter);
    }

    [Fact]
    public async Task A_rehearsal_tells_and_changes_nothing()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        await using var cart = await RotatingNode.JoinAsync(mesh, "cart");
        using var gone = await mesh.JoinAsync("ns/shop/sa/gone");
        var before = await StatusAsync(mesh);
        await Eventually.PassesAsync(async () =>
        {
            var rehearsed = await RotateAsync(mesh, new RotationRequest(Rehearse: true));
            Assert.True(rehearsed.Rotation is { Rehearsal: true, Done: true });
            Assert.Contains("ns/shop/sa/gone", Assert.Single(rehearsed.Rotation.WaitingFor));
            Assert.Contains("2 holders", rehearsed.Rotation.Text);
        });
        var after = await StatusAsync(mesh);
        Assert.Null(after.Rotation);
        Assert.Equal(before.Roots.Select(r => r.Sha256), after.Roots.Select(r => r.Sha256));
        Assert.Equal(before.Issuers.Select(i => i.Sha256), after.Issuers.Select(i => i.Sha256));
    }

    private static async Task<AuthorityStatus> StatusAsync(IdentityTestbed mesh)
    {
        using var answer = await mesh.OperateAsync(HttpMethod.Get, OperatorsApi.Authority);
        return (await answer.EnsureSuccessStatusCode().Content.ReadFromJsonAsync(OperatorsJson.Default.AuthorityStatus))!;
    }

    private static async Task<AuthorityStatus> RotateAsync(IdentityTestbed mesh, RotationRequest request)
    {
        using var answer = await mesh.OperateAsync(HttpMethod.Post, OperatorsApi.Rotation, JsonContent.Create(request, OperatorsJson.Default.RotationRequest));
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return (await answer.Content.ReadFromJsonAsync(OperatorsJson.Default.AuthorityStatus))!;
    }
}

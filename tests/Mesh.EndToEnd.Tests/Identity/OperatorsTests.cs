using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Identity;

/// <summary>Who may ask and change what through the operators' API: tokens with a role, certificates with a role, and nobody else.</summary>
public sealed class OperatorsTests
{
    [Fact]
    public async Task Tokens_have_a_role_and_loopback_alone_has_none()
    {
        await using var plane = await ControlPlaneProcess.StartAsync();
        using var folder = new TemporaryFolder();
        (string, string?)[] nobody = [("MESH_OPERATORS", $"http://{plane.Operators}"), ("MESH_OPERATORS_TOKEN_FILE", null), ("HOME", folder.Path), ("XDG_STATE_HOME", null)];
        Assert.Contains("No operators' token was found", await MeshctlAsync(["nodes"], nobody, 1), StringComparison.Ordinal);
        Assert.Contains("No operators' token was found", await MeshctlAsync(["token", "create", "--identity", "ns/default/sa/web"], nobody, 1), StringComparison.Ordinal);

        (string, string?)[] view = [("MESH_OPERATORS", $"http://{plane.Operators}"), ("MESH_OPERATORS_TOKEN_FILE", plane.ViewTokenFile)];
        await MeshctlAsync(["nodes"], view, 0);
        foreach (var change in (string[][])[["token", "create", "--identity", "ns/default/sa/web"], ["identity", "revoke", "ns/default/sa/web"], ["ca", "rotate", "--no-wait"]])
            Assert.Contains("admin", await MeshctlAsync(change, view, 1), StringComparison.Ordinal);

        Assert.StartsWith("mesh1.", await plane.MeshctlAsync(["token", "create", "--identity", "ns/default/sa/web"]), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_certificate_has_the_role_its_identity_was_given()
    {
        const string id = "spiffe://cluster.local/ns/ops/sa/";
        await using var plane = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { More = ["--operator", id + "chief=admin", "--operator", id + "guest=view"] });
        using var folder = new TemporaryFolder();
        foreach (var account in (string[])["chief", "guest", "nobody"])
            await plane.MeshctlAsync(["identity", "fetch", "--out", folder[account], "--identity", $"ns/ops/sa/{account}"]);

        await AsAsync("chief", ["nodes"], 0);
        await AsAsync("chief", ["identity", "revoke", "ns/default/sa/web"], 0);
        await AsAsync("guest", ["nodes"], 0);
        Assert.Contains("admin", await AsAsync("guest", ["identity", "unrevoke", "ns/default/sa/web"], 1), StringComparison.Ordinal);
        Assert.Contains("is no operator", await AsAsync("nobody", ["nodes"], 1), StringComparison.Ordinal);

        Task<string> AsAsync(string account, string[] arguments, int code) =>
            MeshctlAsync([.. arguments, "--control-plane", $"https://{plane.MeshApi}", "--operators-certificate", folder[account]], [], code);
    }

    [Fact]
    public async Task The_tool_believes_no_control_plane_of_another_authority()
    {
        const string id = "spiffe://cluster.local/ns/ops/sa/chief";
        await using var plane = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { More = ["--operator", id + "=admin"] });
        await using var other = await ControlPlaneProcess.StartAsync(new ControlPlaneShape { More = ["--operator", id + "=admin"] });
        using var folder = new TemporaryFolder();
        await plane.MeshctlAsync(["identity", "fetch", "--out", folder["chief"], "--identity", "ns/ops/sa/chief"]);

        await MeshctlAsync(["nodes", "--control-plane", $"https://{plane.MeshApi}", "--operators-certificate", folder["chief"]], [], 0);
        await MeshctlAsync(["nodes", "--control-plane", $"https://{other.MeshApi}", "--operators-certificate", folder["chief"]], [], 1);
    }

    private static async Task<string> MeshctlAsync(string[] arguments, (string Name, string? Value)[] environment, int code)
    {
        await using var meshctl = ChildProcess.Start(Programs.Meshctl, arguments, environment);
        var ended = await meshctl.WaitAsync(60);
        Assert.True(ended == code, $"meshctl {string.Join(' ', arguments)} ended with {ended}:\n{meshctl.Output}");
        return meshctl.Output;
    }
}

using System.Text.Json;
using Mesh.Api.Operators;
using Mesh.Cli.Tests.Commands;
using Mesh.Tests;

namespace Mesh.Cli.Tests.Running;

/// <summary>How <c>meshctl run</c> gets its sidecar an identity: the token it makes, whom it shows it to, and what a new start does without one.</summary>
public sealed class JoinTests : IAsyncLifetime, IDisposable
{
    private const string Admin = "admin-secret";
    private readonly TemporaryFolder folder = new();
    private OperatorsServer server = null!;
    private int made;

    public JoinTests() => Skip.IfNot(File.Exists("/usr/bin/python3"), "python3 is not installed: it plays the sidecar");

    public async Task InitializeAsync()
    {
        server = await OperatorsServer.StartAsync();
        server.Token = Admin;
        server.Answer(OperatorsApi.Tokens, http => Microsoft.AspNetCore.Http.HttpResponseJsonExtensions.WriteAsJsonAsync(
            http.Response, new IssuedToken { Token = $"join-secret-{++made}", Id = "1", Identity = "x" }, OperatorsJson.Default.IssuedToken));
    }

    public async Task DisposeAsync() => await server.DisposeAsync();

    public void Dispose() => folder.Dispose();

    [SkippableFact]
    public async Task A_token_is_made_for_the_account_of_the_service_and_only_the_sidecar_sees_it()
    {
        var (code, output, error) = await RunAsync(["--namespace", "shop"], "env");

        Assert.True(code == 0, error);
        var asked = Asked();
        Assert.Equal("ns/shop/sa/web", asked.Identity);
        Assert.Equal(["web"], asked.Serves);
        Assert.InRange(asked.TtlSeconds, 1, 300);
        var started = error.Split('\n').Single(l => l.Contains("started with", StringComparison.Ordinal));
        Assert.Contains("--control-plane 127.0.0.1:15012", started, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", started, StringComparison.Ordinal);
        var environment = error.Split('\n').Single(l => l.Contains("] environment", StringComparison.Ordinal));
        Assert.Contains("MESH_JOIN_TOKEN=join-secret-1", environment, StringComparison.Ordinal);
        Assert.DoesNotContain(Admin, environment, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Account_and_address_are_what_they_are_told_to_be()
    {
        var (code, _, error) = await RunAsync(["--account", "front", "--address", "10.0.0.7", "--control-plane", "cp:1"], "true");

        Assert.True(code == 0, error);
        Assert.Equal("ns/default/sa/front", Asked().Identity);
        Assert.Equal(["10.0.0.7"], Asked().Addresses);
        Assert.Contains("--control-plane cp:1 --address 10.0.0.7", error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_token_that_is_given_is_handed_over_and_none_is_made()
    {
        var file = folder["token"];
        await File.WriteAllTextAsync(file, "given-token\n");
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);

        var (code, output, error) = await RunAsync(["--token-file", file], "env");

        Assert.True(code == 0, error);
        Assert.Contains("MESH_JOIN_TOKEN=given-token", error, StringComparison.Ordinal);
        Assert.DoesNotContain("given-token", output, StringComparison.Ordinal);
        Assert.Empty(server.Requests);
    }

    [SkippableTheory]
    [InlineData("--kube-token-file", "/var/run/token")]
    [InlineData("--control-plane", "http://127.0.0.1:15010")]
    [InlineData("--control-plane", "unix:/run/mesh.sock")]
    public async Task Where_no_token_is_needed_none_is_made(string flag, string value)
    {
        var (code, _, error) = await RunAsync([flag, value], "true");

        Assert.True(code == 0, error);
        Assert.Contains($"{flag} {value}", error, StringComparison.Ordinal);
        Assert.DoesNotContain("MESH_JOIN_TOKEN", error, StringComparison.Ordinal);
        Assert.Empty(server.Requests);
    }

    [SkippableFact]
    public async Task A_sidecar_that_is_started_again_keeps_its_identity_though_nobody_makes_tokens_any_more()
    {
        using var meshctl = Start([], "touch $READY; while [ ! -e $FOLDER/started.2 ]; do sleep 0.05; done");
        await Eventually.HoldsAsync(() => File.Exists(folder["ready"]), "the program runs");
        await server.DisposeAsync();
        using (var kill = System.Diagnostics.Process.Start("kill", ["-9", await File.ReadAllTextAsync(folder["pid"])])) await kill.WaitForExitAsync();
        var (code, _, error) = await meshctl.EndAsync();

        Assert.True(code == 0, error);
        Assert.Contains("goes on with the certificate it has", error, StringComparison.Ordinal);
        var folders = error.Split('\n').Where(l => l.Contains("started with", StringComparison.Ordinal)).Select(l => l.Split("--identity-dir ")[1].Split(' ')[0]).ToList();
        Assert.Equal(2, folders.Count);
        Assert.Single(folders.Distinct(StringComparer.Ordinal));
        Assert.False(Directory.Exists(folders[0]), "the certificate of the run is removed at its end");
    }

    [SkippableFact]
    public async Task Without_an_operators_token_the_program_is_not_started()
    {
        server.Token = "another";

        var (code, output, error) = await RunAsync([], "echo never");

        Assert.Equal((1, ""), (code, output));
        Assert.Contains("log in", error, StringComparison.Ordinal);
        Assert.DoesNotContain(Admin, error, StringComparison.Ordinal);
    }

    private TokenRequest Asked() => JsonSerializer.Deserialize(Assert.Single(server.Requests).Body, OperatorsJson.Default.TokenRequest)!;

    private async Task<(int Code, string Output, string Error)> RunAsync(string[] flags, string script)
    {
        using var meshctl = Start(flags, script);
        return await meshctl.EndAsync();
    }

    private Meshctl Start(string[] flags, string script)
    {
        var environment = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["FOLDER"] = folder.Path,
            ["READY"] = folder["ready"],
            ["MESH_OPERATORS_TOKEN"] = Admin,
        };
        return Meshctl.Start(environment, ["run", "--service", "web", "--sidecar", RunTests.Script, "--operators", server.Address, .. flags, "--", "sh", "-c", script]);
    }
}

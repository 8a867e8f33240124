using Mesh.Api.Operators;
using Mesh.Tests;

namespace Mesh.Cli.Tests.Commands;

/// <summary>How the tool logs in: where it finds its token, what it says when there is none, and where it never sends it.</summary>
public sealed class LoginTests : IAsyncLifetime, IDisposable
{
    private const string Secret = "s3cret-token";
    private readonly TemporaryFolder folder = new();
    private OperatorsServer server = null!;

    public async Task InitializeAsync()
    {
        server = await OperatorsServer.StartAsync();
        server.Token = Secret;
        server.Answer(OperatorsApi.Nodes, OperatorsJson.Default.NodeList, new NodeList([]));
    }

    public async Task DisposeAsync() => await server.DisposeAsync();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_file_that_is_named() => Assert.Equal((0, ""), await RunAsync([], "--operators-token-file", Put("t", Secret + "\n")));

    [Fact]
    public async Task The_environments_token_or_file()
    {
        Assert.Equal((0, ""), await RunAsync([("MESH_OPERATORS_TOKEN", Secret)]));
        Assert.Equal((0, ""), await RunAsync([("MESH_OPERATORS_TOKEN_FILE", Put("t", Secret))]));
    }

    [Fact]
    public async Task The_files_of_a_control_plane_on_this_machine_admin_before_view()
    {
        Put(".local/state/mesh/operators/view.token", Secret);
        Assert.Equal((0, ""), await RunAsync([]));
        Put(".local/state/mesh/operators/admin.token", "other");
        Assert.Equal(1, (await RunAsync([])).Code);
        Put("state/mesh/operators/admin.token", Secret);
        Assert.Equal((0, ""), await RunAsync([("XDG_STATE_HOME", folder["state"])]));
    }

    [Fact]
    public async Task No_token_says_where_it_was_looked_for_and_what_to_do()
    {
        var (code, error) = await RunAsync([]);

        Assert.Equal(1, code);
        Assert.Contains(folder[".local/state/mesh/operators/admin.token"], error, StringComparison.Ordinal);
        Assert.Contains(folder[".local/state/mesh/operators/view.token"], error, StringComparison.Ordinal);
        Assert.Contains("--operators-token-file DATA/operators/admin.token", error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(c => c == '\n'));
    }

    [Fact]
    public async Task A_token_that_is_refused_names_its_source_and_not_itself()
    {
        var path = Put("t", "wrong-token");

        var (code, error) = await RunAsync([], "--operators-token-file", path);

        Assert.Equal(1, code);
        Assert.Contains(path, error, StringComparison.Ordinal);
        Assert.DoesNotContain("wrong-token", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_others_can_read_is_refused_with_the_command_that_mends_it()
    {
        var path = Put("t", Secret);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead);

        var (code, error) = await RunAsync([], "--operators-token-file", path);

        Assert.Equal(1, code);
        Assert.Contains($"chmod 600 {path}", error, StringComparison.Ordinal);
        Assert.Empty(server.Requests);
    }

    [Theory]
    [InlineData("")]
    [InlineData("two words")]
    [InlineData("a\nb")]
    public async Task What_is_no_token_is_not_sent(string content)
    {
        var (code, error) = await RunAsync([], "--operators-token-file", Put("t", content));

        Assert.Equal(1, code);
        Assert.Contains("holds no operators' token", error, StringComparison.Ordinal);
        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task The_token_does_not_leave_the_machine_in_plaintext()
    {
        using var meshctl = Meshctl.Start(Environment([("MESH_OPERATORS_TOKEN", Secret)]), "nodes", "--control-plane", "http://192.0.2.1:15015");
        var (code, _, error) = await meshctl.EndAsync();

        Assert.Equal(1, code);
        Assert.Contains("plaintext and not on this machine", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_redirect_is_not_followed_with_the_token()
    {
        await using var thief = await OperatorsServer.StartAsync();
        server.Answer(OperatorsApi.Nodes, http =>
        {
            http.Response.Redirect(thief.Address + OperatorsApi.Nodes);
            return Task.CompletedTask;
        });

        var (code, _) = await RunAsync([("MESH_OPERATORS_TOKEN", Secret)]);

        Assert.Equal(1, code);
        Assert.Empty(thief.Requests);
    }

    [Fact]
    public async Task Https_wants_a_certificate_and_a_certificate_wants_https()
    {
        var (code, _, error) = await Meshctl.RunAsync("nodes", "--control-plane", "https://127.0.0.1:1");
        Assert.Equal(2, code);
        Assert.Contains("--operators-certificate", error, StringComparison.Ordinal);

        (code, _, error) = await Meshctl.RunAsync("nodes", "--operators-certificate", folder.Path);
        Assert.Equal(2, code);
        Assert.Contains("is plaintext", error, StringComparison.Ordinal);

        (code, _, error) = await Meshctl.RunAsync("nodes", "--control-plane", "https://127.0.0.1:1", "--operators-certificate", folder.Path);
        Assert.Equal(1, code);
        Assert.Contains("tls.crt", error, StringComparison.Ordinal);
    }

    private async Task<(int Code, string Error)> RunAsync((string, string)[] environment, params string[] more)
    {
        using var meshctl = Meshctl.Start(Environment(environment), ["nodes", "--control-plane", server.Address, .. more]);
        var (code, _, error) = await meshctl.EndAsync();
        return (code, error);
    }

    private Dictionary<string, string> Environment((string Name, string Value)[] more)
    {
        var all = new Dictionary<string, string>(StringComparer.Ordinal) { ["HOME"] = folder.Path };
        foreach (var (name, value) in more) all[name] = value;
        return all;
    }

    private string Put(string name, string content)
    {
        var path = folder[name];
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, content);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return path;
    }
}

using Mesh.ControlPlane.Admin.Login;

namespace Mesh.ControlPlane.Tests;

/// <summary>The flags about identity: what is taken, and in which words what is wrong is refused.</summary>
public sealed class IdentityFlagsTests
{
    private readonly StringWriter errors = new();
    private Options? options;

    [Fact]
    public async Task Defaults_are_an_authority_of_the_meshs_own_in_the_data_folder()
    {
        Assert.Equal(0, await RunAsync());
        Assert.Equal("cluster.local", options!.Identity.TrustDomain);
        Assert.Null(options.Identity.AuthorityFolder);
        Assert.Null(options.Identity.SealKeyFile);
        Assert.Equal(TimeSpan.FromHours(24), options.Identity.Lifetimes.Leaf);
        Assert.Equal(TimeSpan.FromMinutes(5), options.Identity.Lifetimes.ShortestLeaf);
        Assert.Empty(options.OperatorCertificates);
        Assert.Equal("0.0.0.0:15012", Assert.Single(options.MeshApi).ToString());
    }

    [Fact]
    public async Task All_of_them_are_understood()
    {
        Assert.Equal(0, await RunAsync(
            "--trust-domain", "example.org", "--ca-dir", "certs", "--certificate-lifetime", "1h30m", "--kube-jwks", "/keys", "--kube-issuer", "https://kube",
            "--operator", "spiffe://example.org/ns/ops/sa/alice=admin", "--operator", "spiffe://example.org/ns/ops/sa/bob=view", "--mesh-api", "127.0.0.1:0", "--mesh-api", "[::1]:0"));
        Assert.Equal(Path.GetFullPath("certs"), options!.Identity.AuthorityFolder);
        Assert.Equal(TimeSpan.FromMinutes(90), options.Identity.Lifetimes.Leaf);
        Assert.Equal(("/keys", "https://kube"), (options.Identity.KubernetesKeys, options.Identity.KubernetesIssuer));
        Assert.Equal(OperatorRole.Admin, options.OperatorCertificates["spiffe://example.org/ns/ops/sa/alice"]);
        Assert.Equal(OperatorRole.View, options.OperatorCertificates["spiffe://example.org/ns/ops/sa/bob"]);
        Assert.Equal(2, options.MeshApi.Length);
        Assert.Equal(0, await RunAsync("--consul", "http://127.0.0.1:8500", "--ca-store", "consul", "--ca-seal-key-file", "/seal"));
        Assert.Equal("/seal", options.Identity.SealKeyFile);
    }

    [Theory]
    [InlineData("--trust-domain Example.org", "upper-case")]
    [InlineData("--trust-domain a:1", "port")]
    [InlineData("--certificate-lifetime 4m59s", "at least 5 minutes, at most 30 days")]
    [InlineData("--certificate-lifetime 721h", "at least 5 minutes, at most 30 days")]
    [InlineData("--certificate-lifetime 10", "no duration")]
    [InlineData("--certificate-lifetime -1h", "at least 5 minutes, at most 30 days")]
    [InlineData("--ca-store consul", "no --consul")]
    [InlineData("--ca-store vault", "neither folder nor consul")]
    [InlineData("--consul http://127.0.0.1:8500 --ca-store consul", "openssl rand -base64 32")]
    [InlineData("--ca-seal-key-file /seal", "only what --ca-store consul keeps")]
    [InlineData("--operator spiffe://cluster.local/ns/ops/sa/alice", "=view or")]
    [InlineData("--operator spiffe://cluster.local/ns/ops/sa/alice=root", "=view or")]
    [InlineData("--operator alice=admin", "spiffe://")]
    [InlineData("--operator spiffe://other.org/ns/ops/sa/alice=admin", "trust domain")]
    [InlineData("--operator spiffe://cluster.local/a=admin --operator spiffe://cluster.local/a=view", "twice")]
    [InlineData("--mesh-api 15012", "no address")]
    public async Task What_is_wrong_is_refused_in_words(string flags, string words)
    {
        Assert.Equal(2, await RunAsync(flags.Split(' ')));
        Assert.Contains(words, errors.ToString());
    }

    private Task<int> RunAsync(params string[] arguments) => new CommandLine(TimeSpan.FromMinutes(5)).InvokeAsync(arguments, errors, parsed =>
    {
        options = parsed;
        return Task.FromResult(0);
    });
}

using System.Diagnostics;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.Sidecar.Tests.Identity;

/// <summary>What openssl, which knows nothing of us, finds at an inbound port.</summary>
public sealed class OpenSslJudgeTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [SkippableFact]
    public async Task ItGetsAnAnswerWithACertificateOverTls13()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        var said = await AskAsync(pair, "-tls1_3 -alpn istio-http/1.1 -verify_return_error -CAfile root.pem -cert leaf.pem -key key.pem");
        Assert.Contains("hello", said, StringComparison.Ordinal);
        Assert.Contains("ALPN protocol: istio-http/1.1", said, StringComparison.Ordinal);
        Assert.Contains("Verification: OK", said, StringComparison.Ordinal);
        Assert.Contains("TLSv1.3", said, StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData("-tls1 -cipher ALL:@SECLEVEL=0")]
    [InlineData("-tls1_1 -cipher ALL:@SECLEVEL=0")]
    [InlineData("-tls1_2")]
    [InlineData("-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256")]
    public async Task OlderVersionsGetTheAlertThatSaysSo(string version)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        var said = await AskAsync(pair, version + " -alpn istio-http/1.1 -cert leaf.pem -key key.pem");
        Assert.Contains("alert protocol version", said, StringComparison.Ordinal);
        Assert.DoesNotContain("hello", said, StringComparison.Ordinal);
        Assert.Empty(origin.Connections);
    }

    [SkippableTheory]
    [InlineData("-tls1_3 -alpn h2 -cert leaf.pem -key key.pem")]
    [InlineData("-tls1_3 -cert leaf.pem -key key.pem")]
    public async Task AnotherProtocolGetsTheAlertThatSaysSo(string flags)
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        Assert.Contains("alert no application protocol", await AskAsync(pair, flags), StringComparison.Ordinal);
        Assert.Empty(origin.Connections);
    }

    [SkippableFact]
    public async Task WithoutACertificateItGetsNothing()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        Assert.DoesNotContain("hello", await AskAsync(pair, "-tls1_3 -alpn istio-http/1.1"), StringComparison.Ordinal);
        Assert.Empty(origin.Connections);
        Assert.Equal(1, pair.Server.Sink.Own.HandshakeFailures.ValueOf("inbound", "no_certificate"));
    }

    [SkippableFact]
    public async Task ASessionIsNeverResumed()
    {
        await using var origin = RecordingOrigin.Friendly();
        await using var pair = await Pair.HttpAsync(origin.Address);
        const string Usual = "-tls1_3 -alpn istio-http/1.1 -cert leaf.pem -key key.pem";
        await AskAsync(pair, Usual + " -sess_out session.pem");
        var again = File.Exists(folder["session.pem"]) ? await AskAsync(pair, Usual + " -sess_in session.pem") : "New";
        Assert.DoesNotContain("Reused", again, StringComparison.Ordinal);
        Assert.Contains("New", again, StringComparison.Ordinal);
    }

    private async Task<string> AskAsync(Pair pair, string flags)
    {
        var openssl = ExternalProgram.Require("openssl");
        var leaf = pair.Authority.Leaf(Authority.Web);
        await File.WriteAllTextAsync(folder["leaf.pem"], leaf.Pem);
        await File.WriteAllTextAsync(folder["key.pem"], leaf.KeyPem);
        await File.WriteAllTextAsync(folder["root.pem"], pair.Authority.RootPem + pair.Authority.ChainPem(leaf));
        var start = new ProcessStartInfo(openssl, $"s_client -connect {pair.Server.Port} {flags}")
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder.Path,
        };
        using var client = Process.Start(start)!;
        var output = client.StandardOutput.ReadToEndAsync();
        var errors = client.StandardError.ReadToEndAsync();
        try
        {
            await client.StandardInput.WriteAsync("GET / HTTP/1.1\r\nHost: cart\r\nConnection: close\r\n\r\n");
            await client.StandardInput.FlushAsync();
        }
        catch (IOException)
        {
            // It has given up already.
        }

        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(15));
        await client.WaitForExitAsync(bound.Token);
        return await output + await errors;
    }
}

using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using Mesh.ControlPlane.Sources.Registry.Store;

namespace Mesh.ControlPlane.Sources.Registry.Checks;

/// <summary>Carries out single tries of HTTP and TCP checks. Thread safe; owns its connections, none of which is kept between tries.</summary>
internal sealed class CheckProbes : IDisposable
{
    private readonly Dictionary<(bool Redirects, bool Verify), HttpMessageInvoker> clients = [];
    private readonly Lock gate = new();

    /// <summary>One try. Never throws for what the target does; the caller bounds the time by <paramref name="cancel"/>.</summary>
    public async Task<ProbeResult> RunAsync(CheckDefinition check, CancellationToken cancel)
    {
        try
        {
            return check.Kind == CheckKind.Http ? await HttpAsync(check, cancel) : await TcpAsync(check, cancel);
        }
        catch (Exception e) when (e is HttpRequestException or SocketException or IOException or FormatException or UriFormatException or NotSupportedException)
        {
            return new ProbeResult(CheckStatus.Critical, $"{check.Target}: {e.Message}");
        }
    }

    public void Dispose()
    {
        foreach (var client in clients.Values) client.Dispose();
    }

    private static async Task<ProbeResult> TcpAsync(CheckDefinition check, CancellationToken cancel)
    {
        var (host, port) = SplitHostPort(check.Target);
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(host, port, cancel);
        return new ProbeResult(CheckStatus.Passing, $"TCP connect {check.Target}: Success");
    }

    private async Task<ProbeResult> HttpAsync(CheckDefinition check, CancellationToken cancel)
    {
        var wanted = check.Request ?? new HttpCheckRequest();
        using var request = new HttpRequestMessage(new HttpMethod(wanted.Method), check.Target);
        if (wanted.Body.Length > 0) request.Content = new StringContent(wanted.Body);
        AddHeaders(request, wanted);
        using var response = await ClientFor(wanted).SendAsync(request, cancel);
        var body = await ReadStartAsync(response, check.OutputLimit, cancel);
        var code = (int)response.StatusCode;
        var status = code is >= 200 and < 300 ? CheckStatus.Passing : code == 429 ? CheckStatus.Warning : CheckStatus.Critical;
        return new ProbeResult(status, $"HTTP {wanted.Method} {check.Target}: {code} {response.ReasonPhrase} Output: {body}");
    }

    private static void AddHeaders(HttpRequestMessage request, HttpCheckRequest wanted)
    {
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("Mesh-Health-Check", "1"));
        request.Headers.Accept.ParseAdd("text/plain, text/*, */*");
        foreach (var (name, values) in wanted.Headers)
        {
            if (name.Equals("Host", StringComparison.OrdinalIgnoreCase)) request.Headers.Host = values.Count > 0 ? values[0] : null;
            else if (!request.Headers.TryAddWithoutValidation(name, values)) request.Content?.Headers.TryAddWithoutValidation(name, values);
        }
    }

    private static async Task<string> ReadStartAsync(HttpResponseMessage response, int limit, CancellationToken cancel)
    {
        var start = new byte[limit];
        await using var body = await response.Content.ReadAsStreamAsync(cancel);
        var read = await body.ReadAtLeastAsync(start, limit, throwOnEndOfStream: false, cancel);
        return Encoding.UTF8.GetString(start, 0, read);
    }

    private HttpMessageInvoker ClientFor(HttpCheckRequest wanted)
    {
        var kind = (wanted.FollowsRedirects, wanted.VerifiesCertificate);
        lock (gate)
        {
            if (clients.TryGetValue(kind, out var client)) return client;
            var handler = new SocketsHttpHandler
            {
                UseProxy = false,
                UseCookies = false,
                AllowAutoRedirect = wanted.FollowsRedirects,
                PooledConnectionLifetime = TimeSpan.Zero,
                ActivityHeadersPropagator = null,
            };
            // The one who registers a check may say that its target's certificate is not to be verified (Consul's TLSSkipVerify).
            if (!wanted.VerifiesCertificate) handler.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
            clients.Add(kind, client = new HttpMessageInvoker(handler));
            return client;
        }
    }

    private static (string Host, int Port) SplitHostPort(string target)
    {
        var colon = target.LastIndexOf(':');
        if (colon <= 0 || !ushort.TryParse(target.AsSpan(colon + 1), out var port)) throw new FormatException("the target must be host:port");
        return (target[..colon].Trim('[', ']'), port);
    }
}

using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Mesh.Api.Operators;

namespace Mesh.Cli.Operators;

/// <summary>Asks the control plane's operators' API; every failure is a <see cref="CliException"/> in words. Owned by one command.</summary>
internal sealed class OperatorsClient : IDisposable
{
    private readonly HttpClient _http;
    private readonly OperatorsToken? _token;

    /// <summary>A client that logs in with a token, or (null) with the certificate of its handler. Owns the handler.</summary>
    public OperatorsClient(Uri address, SocketsHttpHandler handler, OperatorsToken? token = null)
    {
        handler.UseProxy = false; // The terminal may be inside the mesh itself.
        handler.AllowAutoRedirect = false; // The token is for this address only.
        handler.ConnectTimeout = TimeSpan.FromSeconds(5);
        _http = new HttpClient(handler) { BaseAddress = address, Timeout = TimeSpan.FromSeconds(15) };
        _token = token;
        if (token?.Value is { } secret) _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);
    }

    /// <summary>Where it asks.</summary>
    public Uri Address => _http.BaseAddress!;

    public Task<T> GetAsync<T>(string pathAndQuery, JsonTypeInfo<T> type, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Get, pathAndQuery, null, type, cancellation);

    public Task<T> DeleteAsync<T>(string pathAndQuery, JsonTypeInfo<T> type, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Delete, pathAndQuery, null, type, cancellation);

    public Task<T> PostAsync<TBody, T>(string path, TBody body, JsonTypeInfo<TBody> bodyType, JsonTypeInfo<T> type, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, path, JsonContent.Create(body, bodyType), type, cancellation);

    public void Dispose() => _http.Dispose();

    private async Task<T> SendAsync<T>(HttpMethod method, string pathAndQuery, HttpContent? body, JsonTypeInfo<T> type, CancellationToken cancellation)
    {
        try
        {
            using var request = new HttpRequestMessage(method, new Uri(pathAndQuery, UriKind.Relative)) { Content = body };
            // The port for workloads speaks HTTP/2 alone.
            if (Address.Scheme == Uri.UriSchemeHttps) (request.Version, request.VersionPolicy) = (HttpVersion.Version20, HttpVersionPolicy.RequestVersionExact);
            using var response = await _http.SendAsync(request, cancellation);
            if (!response.IsSuccessStatusCode)
                throw new CliException(await ExplainAsync(response, cancellation));
            return await response.Content.ReadFromJsonAsync(type, cancellation) ?? throw new JsonException("null");
        }
        catch (HttpRequestException e)
        {
            throw new CliException($"cannot reach the control plane at {Address}: {Innermost(e)}. " +
                "Is mesh-control-plane running? Another address: --control-plane URL (--operators URL with run) or MESH_OPERATORS.");
        }
        catch (TaskCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new CliException($"the control plane at {Address} did not answer within {_http.Timeout.TotalSeconds} s");
        }
        catch (Exception e) when (e is JsonException or NotSupportedException)
        {
            throw new CliException($"{Address} answers, but not as a control plane of this version: {e.Message}");
        }
    }

    private async Task<string> ExplainAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        var words = await WordsAsync(response, cancellation);
        if (response.StatusCode is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden && _token is { } token)
        {
            return $"the control plane at {Address} refuses: {words ?? $"{(int)response.StatusCode}"}. " + (token.Value is null
                ? $"No operators' token was found; looked for in {token.Source}. Name the file of the control plane's data folder: {OperatorsToken.FileOption} DATA/{OperatorsFiles.AdminToken}."
                : $"The token is from {token.Source}; another: {OperatorsToken.FileOption} FILE.");
        }

        return words ?? (response.StatusCode == HttpStatusCode.NotFound
            ? $"{Address} answers, but does not know {response.RequestMessage?.RequestUri?.PathAndQuery}: is it a control plane's operators' port?"
            : $"the control plane at {Address} answered {(int)response.StatusCode}");
    }

    /// <summary>The control plane's own words, when the answer is its.</summary>
    private static async Task<string?> WordsAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        try
        {
            var error = await response.Content.ReadFromJsonAsync(OperatorsJson.Default.OperatorsError, cancellation);
            return error?.Error is { Length: > 0 } text ? text : null;
        }
        catch (Exception e) when (e is JsonException or NotSupportedException)
        {
            return null;
        }
    }

    private static string Innermost(Exception e) => e.InnerException is { } inner ? Innermost(inner) : e.Message;
}

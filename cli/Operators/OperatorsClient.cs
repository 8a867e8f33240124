using System.CommandLine;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Mesh.Api.Operators;

namespace Mesh.Cli.Operators;

/// <summary>Asks the control plane's operators' API; every failure is a <see cref="CliException"/> in words. Owned by one command.</summary>
internal sealed class OperatorsClient : IDisposable
{
    private const string Variable = "MESH_OPERATORS";
    private readonly HttpClient _http;

    private OperatorsClient(Uri address) => _http = new HttpClient(new SocketsHttpHandler
    {
        UseProxy = false, // The terminal may be inside the mesh itself.
        ConnectTimeout = TimeSpan.FromSeconds(5),
    })
    {
        BaseAddress = address,
        Timeout = TimeSpan.FromSeconds(15),
    };

    public static Option<string?> AddressOption() => new("--control-plane")
    {
        Description = $"the control plane's operators' API ({Variable}; {OperatorsApi.DefaultAddress} if unset)",
        HelpName = "URL",
    };

    /// <summary>A client for the address of the option, the environment, or the usual one.</summary>
    public static OperatorsClient Open(string? option)
    {
        var text = option ?? Environment.GetEnvironmentVariable(Variable);
        if (string.IsNullOrEmpty(text))
            text = OperatorsApi.DefaultAddress;
        if (!text.Contains("://", StringComparison.Ordinal))
            text = "http://" + text;
        if (!Uri.TryCreate(text, UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
            throw new CliException($"'{text}' is no address of a control plane: expected http://HOST:PORT", Usage.ExitCode);
        return new OperatorsClient(address);
    }

    public async Task<T> GetAsync<T>(string pathAndQuery, JsonTypeInfo<T> type, CancellationToken cancellation)
    {
        try
        {
            using var response = await _http.GetAsync(new Uri(pathAndQuery, UriKind.Relative), cancellation);
            if (!response.IsSuccessStatusCode)
                throw new CliException(await ExplainAsync(response, cancellation));
            return await response.Content.ReadFromJsonAsync(type, cancellation) ?? throw new JsonException("null");
        }
        catch (HttpRequestException e)
        {
            throw new CliException($"cannot reach the control plane at {_http.BaseAddress}: {Innermost(e)}. " +
                $"Is mesh-control-plane running? Another address: --control-plane URL or {Variable}.");
        }
        catch (TaskCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new CliException($"the control plane at {_http.BaseAddress} did not answer within {_http.Timeout.TotalSeconds} s");
        }
        catch (Exception e) when (e is JsonException or NotSupportedException)
        {
            throw new CliException($"{_http.BaseAddress} answers, but not as a control plane of this version: {e.Message}");
        }
    }

    public void Dispose() => _http.Dispose();

    private async Task<string> ExplainAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        try
        {
            var error = await response.Content.ReadFromJsonAsync(OperatorsJson.Default.OperatorsError, cancellation);
            if (error?.Error is { Length: > 0 } text)
                return text;
        }
        catch (Exception e) when (e is JsonException or NotSupportedException)
        {
            // Not the control plane's own words: say what HTTP said.
        }

        return response.StatusCode == HttpStatusCode.NotFound
            ? $"{_http.BaseAddress} answers, but does not know {response.RequestMessage?.RequestUri?.PathAndQuery}: is it a control plane's operators' port?"
            : $"the control plane at {_http.BaseAddress} answered {(int)response.StatusCode}";
    }

    private static string Innermost(Exception e) => e.InnerException is { } inner ? Innermost(inner) : e.Message;
}

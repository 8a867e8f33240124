using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Mesh.ControlPlane.Sources.Consul;

/// <summary>
/// Calls Consul's HTTP API: one place for address, token, datacenter, timeouts, size bounds and error texts. Thread safe; lives as long as
/// the program. Every failure is a <see cref="ConsulException"/>, except cancellation by the caller.
/// </summary>
internal sealed class ConsulClient : IDisposable
{
    private const int ErrorBodyBytes = 1024;
    private readonly ConsulOptions options;
    private readonly TimeProvider time;
    private readonly ConsulToken token;
    private readonly HttpClient http;

    /// <summary>Opens no connection yet.</summary>
    public ConsulClient(ConsulOptions options, TimeProvider time)
    {
        this.options = options;
        this.time = time;
        token = new ConsulToken(options.TokenFile, options.Token);
        http = new HttpClient(ConsulConnections.Create(options)) { BaseAddress = options.Address, Timeout = Timeout.InfiniteTimeSpan };
    }

    /// <summary>Where it goes; for logs.</summary>
    public Uri Address => options.Address;

    /// <summary>Reads a path with its query, such as <c>/v1/catalog/services?stale</c>, without blocking.</summary>
    public Task<ConsulAnswer<T>> ReadAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken stop) =>
        SendAsync(HttpMethod.Get, path, null, type, options.Timeout, stop);

    /// <summary>Reads, and waits in Consul until the index moves past <paramref name="index"/> (rule 1: the server may add wait/16).</summary>
    public Task<ConsulAnswer<T>> ReadAsync<T>(string path, ulong index, JsonTypeInfo<T> type, CancellationToken stop)
    {
        if (index == 0) return ReadAsync(path, type, stop);
        var wait = string.Create(CultureInfo.InvariantCulture, $"index={index}&wait={(long)options.Wait.TotalMilliseconds}ms");
        return SendAsync(HttpMethod.Get, Join(path, wait), null, type, options.Wait + (options.Wait / 16) + options.Timeout, stop);
    }

    /// <summary>Writes a JSON body, or none, and reads a JSON answer. Not found is an answer (a session that has ended).</summary>
    public async Task<ConsulAnswer<TOut>> WriteAsync<TIn, TOut>(
        string path, TIn? body, JsonTypeInfo<TIn> type, JsonTypeInfo<TOut> answerType, CancellationToken stop)
        where TIn : class
    {
        using var content = new ByteArrayContent(body is null ? [] : JsonSerializer.SerializeToUtf8Bytes(body, type));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        try
        {
            return await SendAsync(HttpMethod.Put, path, content, answerType, options.Timeout, stop);
        }
        catch (ConsulException e) when (e.Status == HttpStatusCode.NotFound)
        {
            return default;
        }
    }

    /// <summary>Writes a value as it is, such as a key's; false when a condition in the query (<c>cas=</c>) does not hold.</summary>
    public async Task<bool> PutAsync(string path, ReadOnlyMemory<byte> value, CancellationToken stop)
    {
        using var content = new ReadOnlyMemoryContent(value);
        return (await SendAsync(HttpMethod.Put, path, content, ConsulJson.Default.Boolean, options.Timeout, stop)).Value;
    }

    /// <summary>Removes what is at a path; false when a condition in the query (<c>cas=</c>) does not hold.</summary>
    public async Task<bool> DeleteAsync(string path, CancellationToken stop) =>
        (await SendAsync(HttpMethod.Delete, path, null, ConsulJson.Default.Boolean, options.Timeout, stop)).Value;

    /// <summary>Runs a transaction. A conflict (409) is an answer like any other: see <see cref="TxnAnswer.Errors"/>.</summary>
    public async Task<TxnAnswer> TransactAsync(TxnOp[] operations, CancellationToken stop)
    {
        var answer = await WriteAsync("/v1/txn", operations, ConsulJson.Default.TxnOpArray, ConsulJson.Default.TxnAnswer, stop);
        return answer.Value ?? throw new ConsulException(HttpMethod.Put, "/v1/txn", "no answer: is there a transaction API behind this address?");
    }

    /// <inheritdoc/>
    public void Dispose() => http.Dispose();

    private async Task<ConsulAnswer<T>> SendAsync<T>(
        HttpMethod method, string path, HttpContent? body, JsonTypeInfo<T> type, TimeSpan patience, CancellationToken stop)
    {
        using var timeout = new CancellationTokenSource(patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, timeout.Token);
        try
        {
            var target = options.Datacenter is { } dc ? Join(path, "dc=" + Uri.EscapeDataString(dc)) : path;
            using var request = new HttpRequestMessage(method, target) { Content = body };
            if (token.Read() is { } secret) request.Headers.Add("X-Consul-Token", secret);
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            return await DecodeAsync(method, path, response, type, either.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new ConsulException(method, path, $"no answer within {patience.TotalSeconds:0.#} s");
        }
        catch (JsonException e)
        {
            throw new ConsulException(method, path, $"the answer is not the JSON that was expected: {e.Message}", e);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or InvalidDataException or UnauthorizedAccessException)
        {
            throw new ConsulException(method, path, e.InnerException is { } inner ? $"{e.Message}: {inner.Message}" : e.Message, e);
        }
    }

    private async Task<ConsulAnswer<T>> DecodeAsync<T>(
        HttpMethod method, string path, HttpResponseMessage response, JsonTypeInfo<T> type, CancellationToken stop)
    {
        var index = IndexOf(response);
        await using var body = new BoundedStream(await response.Content.ReadAsStreamAsync(stop), options.MaxAnswerBytes);
        var isConflict = response.StatusCode == HttpStatusCode.Conflict && path == "/v1/txn";
        if (!response.IsSuccessStatusCode && !isConflict)
        {
            // An absent KV pair is 404 with an index, nothing in the body. An unknown path is 404 with words.
            var words = await ErrorWordsAsync(body, stop);
            if (response.StatusCode == HttpStatusCode.NotFound && index is not null && words.Length == 0) return new(false, default, index);
            throw new ConsulException(method, path, response.StatusCode, words);
        }

        if (response.Content.Headers.ContentType?.MediaType is not "application/json")
        {
            var words = await ErrorWordsAsync(body, stop);
            throw new ConsulException(method, path, response.StatusCode, $"not JSON but: {words}");
        }

        return new(true, await JsonSerializer.DeserializeAsync(body, type, stop), index);
    }

    private static async Task<string> ErrorWordsAsync(Stream body, CancellationToken stop)
    {
        var buffer = new byte[ErrorBodyBytes];
        var read = await body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, stop);
        return System.Text.Encoding.UTF8.GetString(buffer, 0, read).Trim();
    }

    private static ulong? IndexOf(HttpResponseMessage response) =>
        response.Headers.TryGetValues("X-Consul-Index", out var values)
        && ulong.TryParse(values.FirstOrDefault(), NumberStyles.None, CultureInfo.InvariantCulture, out var index) ? index : null;

    private static string Join(string path, string query) => path + (path.Contains('?') ? "&" : "?") + query;
}

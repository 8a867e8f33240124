using System.Buffers;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Mesh.ControlPlane.Sources.Registry.Json;
using Microsoft.AspNetCore.Http;

namespace Mesh.ControlPlane.Sources.Registry.Http;

/// <summary>One request of the API: its name and options, its body, and the ways to answer it. Lives as long as the request.</summary>
internal sealed class RegistryRequest(HttpContext context, string name)
{
    /// <summary>The largest body but for values of keys. A registration has a few hundred bytes.</summary>
    public const int MaxBody = 4 * 1024 * 1024;

    /// <summary>What follows the endpoint's path, decoded: the name of a service, a key.</summary>
    public string Name { get; } = name;

    public string Method => context.Request.Method;

    public IQueryCollection Query => context.Request.Query;

    public CancellationToken Aborted => context.RequestAborted;

    /// <summary>Is an option given that needs no value? "false" takes it back.</summary>
    public bool Has(string option) => Query.TryGetValue(option, out var value) && value != "false" && value != "0";

    public string RequireName(string what) => Name.Length > 0 ? Name : throw new Refusal(400, $"Missing {what}");

    /// <summary>A number of an option; null when it is not given.</summary>
    public ulong? Number(string option)
    {
        if (!Query.TryGetValue(option, out var text)) return null;
        return ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? number
            : throw new Refusal(400, $"Invalid {option}: \"{text}\" is not a whole number");
    }

    public async Task<byte[]> ReadBodyAsync(int limit)
    {
        var body = new ArrayBufferWriter<byte>();
        var reader = context.Request.BodyReader;
        while (true)
        {
            var read = await reader.ReadAsync(Aborted);
            if (body.WrittenCount + read.Buffer.Length > limit) throw new Refusal(413, $"Request body too large, max size: {limit} bytes");
            foreach (var part in read.Buffer) body.Write(part.Span);
            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted) return body.WrittenSpan.ToArray();
        }
    }

    /// <summary>The body as JSON. Refused when it is not, or says what nobody knows.</summary>
    public async Task<T> ReadJsonAsync<T>(JsonTypeInfo<T> type, string failed = "Request decode failed")
        where T : class
    {
        var body = await ReadBodyAsync(MaxBody);
        if (body.Length == 0) throw new Refusal(400, $"{failed}: EOF");
        try
        {
            if (HasNullInArray(body)) throw new Refusal(400, $"{failed}: json: null in an array");
            return JsonSerializer.Deserialize(body, type) ?? throw new Refusal(400, $"{failed}: the body is null");
        }
        catch (JsonException e)
        {
            throw new Refusal(400, $"{failed}: {WordsOf(e)}");
        }
    }

    public void SetHeader(string header, string value) => context.Response.Headers[header] = value;

    public Task AnswerAsync<T>(T value, JsonTypeInfo<T> type) => AnswerAsync(value, type, 200);

    public async Task AnswerAsync<T>(T value, JsonTypeInfo<T> type, int status)
    {
        var pretty = Has("pretty") ? (JsonTypeInfo<T>)RegistryJson.Indented.GetTypeInfo(typeof(T))! : type;
        context.Response.StatusCode = status;
        context.Response.ContentType = "application/json";
        await using (var writer = new Utf8JsonWriter(context.Response.BodyWriter, new JsonWriterOptions { Indented = pretty.Options.WriteIndented }))
            JsonSerializer.Serialize(writer, value, pretty);
        await context.Response.BodyWriter.FlushAsync(Aborted);
    }

    public Task AnswerBoolAsync(bool value) => AnswerAsync(value, RegistryJson.Default.Boolean);

    public Task AnswerTextAsync(int status, string text)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/plain; charset=utf-8";
        return HttpMethods.IsHead(Method) ? Task.CompletedTask : context.Response.WriteAsync(text, Aborted);
    }

    public async Task AnswerBytesAsync(byte[] value)
    {
        context.Response.ContentType = "text/plain";
        SetHeader("X-Content-Type-Options", "nosniff");
        SetHeader("Content-Security-Policy", "sandbox");
        context.Response.ContentLength = value.Length;
        await context.Response.BodyWriter.WriteAsync(value, Aborted);
    }

    public void AnswerEmpty(int status) => context.Response.StatusCode = status;

    /// <summary>A null among checks, tags or operations means nothing, and nobody who reads them expects it.</summary>
    private static bool HasNullInArray(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        var inArray = new Stack<bool>();
        while (reader.Read())
        {
            if (reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject) inArray.Push(reader.TokenType == JsonTokenType.StartArray);
            else if (reader.TokenType is JsonTokenType.EndArray or JsonTokenType.EndObject) inArray.Pop();
            else if (reader.TokenType == JsonTokenType.Null && inArray.TryPeek(out var isArray) && isArray) return true;
        }

        return false;
    }

    /// <summary>In Consul's words where clients may look for them; where it is in ours.</summary>
    private static string WordsOf(JsonException e)
    {
        if (e.Message.Contains("could not be mapped", StringComparison.Ordinal)) return $"json: unknown field \"{e.Path?[(e.Path.LastIndexOf('.') + 1)..]}\"";
        if (e.InnerException is FormatException) return $"{e.InnerException.Message} at {e.Path}";
        if (e.Message.StartsWith("invalid duration", StringComparison.Ordinal)) return $"time: {e.Message}";
        return $"json: {e.Message}";
    }
}

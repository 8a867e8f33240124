using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using Mesh.Api.Operators;
using Mesh.ControlPlane.Tests.Identity;

namespace Mesh.ControlPlane.Tests.Admin;

/// <summary>Whatever is sent to the operators' API: words that name the member, never a failure of the program.</summary>
public sealed class MalformedBodyTests
{
    private const string Token = OperatorsApi.Tokens;
    private const string Revoke = OperatorsApi.Revocations;
    private const string Rotate = OperatorsApi.Rotation;
    private const string Check = OperatorsApi.AuthorizationCheck;
    private static readonly string[] Endpoints = [Token, Revoke, Rotate, Check];

    /// <summary>What is wrong wherever it is sent.</summary>
    private static readonly (string Body, string Words)[] Anywhere =
    [
        ("", "the body is no JSON"), ("{", "the body is no JSON"), ("{} {}", "the body is no JSON"), ("{'a':1}", "the body is no JSON"), ("\u00ff\ufffe", "the body is no JSON"),
        (new string('[', 5000), "the body is no JSON"), ("{\"a\":" + new string('[', 5000), "the body is no JSON"),
        ("null", "the body is not an object with "), ("[]", "the body is not an object with "), ("\"x\"", "the body is not an object with "), ("7", "the body is not an object with "),
        ("{\"nobody\":1}", "nobody: there is no such member; there are "), ("{\"\\ud800\":1}", "the body"),
    ];

    /// <summary>Path, body, and what the words must say.</summary>
    private static readonly (string Path, string Body, string Words)[] Refused =
    [
        .. from path in Endpoints from row in Anywhere select (path, row.Body, row.Words),
        (Token, "{}", "identity: is missing"),
        (Token, "{\"identity\":null}", "identity: is null"),
        (Token, "{\"identity\":7}", "identity: identity is a text"),
        (Token, "{\"identity\":[\"ns/shop/sa/cart\"]}", "identity: identity is a text"),
        (Token, "{\"identity\":\"\"}", "identity ''"),
        (Token, "{\"identity\":\"\\ud800\"}", "identity: identity is a text"),
        (Token, "{\"identity\":\"ns/shop/sa/cart\",\"identity\":\"ns/shop/sa/root\"}", "the body is no JSON"),
        (Token, "{\"identity\":\"ns/shop/sa/cart\",\"Identity\":\"ns/shop/sa/root\"}", "Identity: is there twice"),
        (Token, "{\"identity\":\"spiffe://cluster.local/x\"}", "identity: "),
        (Token, "{\"identity\":\"" + new string('x', 5000) + "\"}", "identity '"),
        (Token, With("\"serves\":null"), "serves: is null"),
        (Token, With("\"serves\":\"cart\""), "serves: serves is a list of texts"),
        (Token, With("\"serves\":{}"), "serves: serves is a list of texts"),
        (Token, With("\"serves\":[null]"), "serves[0]: is null"),
        (Token, With("\"serves\":[\"a\",7]"), "serves[1]: serves is a list of texts"),
        (Token, With("\"serves\":[\"\"]"), "serves: ''"),
        (Token, With($"\"serves\":[{string.Join(',', Enumerable.Repeat("\"cart\"", 65))}]"), "'serves' is no list of at most 64"),
        (Token, With("\"addresses\":null"), "addresses: is null"),
        (Token, With("\"addresses\":[null]"), "addresses[0]: is null"),
        (Token, With("\"addresses\":true"), "addresses: addresses is a list of texts"),
        (Token, With("\"addresses\":[\"\"]"), "addresses: ''"),
        (Token, With("\"addresses\":[\"nowhere\"]"), "addresses: 'nowhere'"),
        (Token, With("\"ttlSeconds\":null"), "ttlSeconds: is null"),
        (Token, With("\"ttlSeconds\":\"soon\""), "ttlSeconds: ttlSeconds is a whole number"),
        (Token, With("\"ttlSeconds\":1.5"), "ttlSeconds: ttlSeconds is a whole number"),
        (Token, With("\"ttlSeconds\":99999999999"), "ttlSeconds: ttlSeconds is a whole number"),
        (Token, With("\"ttlSeconds\":-1"), "ttlSeconds: 1 to 86400"),
        (Token, With("\"ttlSeconds\":2147483647"), "ttlSeconds: 1 to 86400"),
        (Revoke, "{}", "identity: is missing"),
        (Revoke, "{\"identity\":null}", "identity: is null"),
        (Revoke, "{\"identity\":{}}", "identity: identity is a text"),
        (Revoke, "{\"reason\":\"stolen\"}", "identity: is missing"),
        (Revoke, With("\"reason\":null"), "reason: is null"),
        (Revoke, With("\"reason\":7"), "reason: reason is a text"),
        (Rotate, "{}", "rehearse: is missing"),
        (Rotate, "{\"rehearse\":null}", "rehearse: is null"),
        (Rotate, "{\"rehearse\":\"true\"}", "rehearse: rehearse is true or false"),
        (Rotate, "{\"rehearse\":1}", "rehearse: rehearse is true or false"),
        (Rotate, "{\"rehearse\":true,\"force\":null}", "force: is null"),
        (Rotate, "{\"rehearse\":true,\"force\":\"\"}", "force: force is true or false"),
        (Check, "{}", "to: is missing"),
        (Check, "{\"to\":null}", "to: is null"),
        (Check, "{\"to\":80}", "to: to is a text"),
        (Check, "{\"to\":\"\"}", "to: ''"),
        (Check, "{\"to\":\":80\"}", "to: ':80'"),
        (Check, "{\"to\":\"cart\",\"from\":null}", "from: is null"),
        (Check, "{\"to\":\"cart\",\"from\":\"a/b/c\"}", "from: 'a/b/c'"),
        (Check, "{\"to\":\"cart\",\"method\":null}", "method: is null"),
        (Check, "{\"to\":\"cart\",\"path\":null}", "path: is null"),
        (Check, "{\"to\":\"cart\",\"path\":\"/x\"}", "method: is missing"),
        (Check, "{\"to\":\"cart\",\"method\":\"GET\"}", "path: ''"),
        (Check, "{\"to\":\"cart\",\"address\":null}", "address: is null"),
        (Check, "{\"to\":\"cart\",\"address\":\"nowhere\"}", "address: 'nowhere'"),
        (Check, "{\"to\":\"cart\",\"headers\":null}", "headers: is null"),
        (Check, "{\"to\":\"cart\",\"headers\":[]}", "headers: headers is an object whose members are texts"),
        (Check, "{\"to\":\"cart\",\"headers\":{\"a\":null}}", "headers.a: is null"),
        (Check, "{\"to\":\"cart\",\"headers\":{\"a\":7}}", "headers.a: headers is an object whose members are texts"),
        (Check, "{\"to\":\"cart\",\"headers\":{\"a\":[\"b\"]}}", "headers.a: headers is an object whose members are texts"),
        (Check, "{\"to\":\"cart\",\"whoCan\":\"yes\"}", "whoCan: whoCan is true or false"),
    ];

    [Fact]
    public async Task What_is_malformed_is_refused_by_name()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        var wrong = new List<string>();
        foreach (var (path, body, words) in Refused)
        {
            var (status, text) = await PostAsync(mesh, path, Json(Encoding.UTF8.GetBytes(body)));
            if (status != 400 || !text.Contains(words, StringComparison.Ordinal)) wrong.Add($"{path} {(body.Length > 80 ? body[..80] : body)}: {status} {text}, not 400 {words}");
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        Assert.DoesNotContain("\"event\":\"r", await File.ReadAllTextAsync(Path.Combine(mesh.Data, "identity", "audit.log")));
    }

    [Fact]
    public async Task What_is_too_large_or_no_json_is_refused()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        foreach (var path in Endpoints)
        {
            var (status, text) = await PostAsync(mesh, path, Json(new byte[(64 * 1024) + 1]));
            Assert.True(status == 413 && text.Contains("more than 65536 bytes", StringComparison.Ordinal), $"{path}: {status} {text}");

            // Beyond the server's own bound the refusal comes before the body is read.
            Assert.Equal(413, await AnnounceAsync(mesh, path, 40_000_000));

            Assert.Equal(415, (await PostAsync(mesh, path, new StringContent("{}", Encoding.UTF8, "text/plain"))).Status);
            Assert.Equal(400, (await PostAsync(mesh, path, Json([(byte)'"', 0xff, 0xfe, (byte)'"']))).Status);
            Assert.Equal(400, (await PostAsync(mesh, path, Json([.. "{\"identity\":\""u8, 0xc3, 0x28, .. "\"}"u8]))).Status);
        }
    }

    [Fact]
    public async Task What_is_left_out_is_none()
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var answer = await mesh.OperateAsync(HttpMethod.Post, Token, Json("{\"identity\":\"ns/shop/sa/cart\"}"u8.ToArray()));
        var token = await answer.Content.ReadFromJsonAsync(OperatorsJson.Default.IssuedToken);
        Assert.Empty(token!.Serves);
        Assert.Empty(token.Addresses);
        Assert.InRange((token.Expires - DateTimeOffset.UtcNow).TotalMinutes, 9, 10.1);
        Assert.Equal(200, (await PostAsync(mesh, Revoke, Json("{\"identity\":\"ns/shop/sa/cart\"}"u8.ToArray()))).Status);

        // A service nobody knows is the only thing wrong with this one.
        var (status, text) = await PostAsync(mesh, Check, Json("{\"to\":\"cart\"}"u8.ToArray()));
        Assert.Equal((400, true), (status, text.Contains("there is no service", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("DELETE", OperatorsApi.Revocations, "identity ''")]
    [InlineData("DELETE", OperatorsApi.Revocations + "?identity=", "identity ''")]
    [InlineData("DELETE", OperatorsApi.Revocations + "?identity=a&identity=b", "identity 'a,b'")]
    [InlineData("DELETE", OperatorsApi.Revocations + "?identity=%ff%00", "identity '")]
    [InlineData("GET", OperatorsApi.Config, "?node=")]
    [InlineData("GET", OperatorsApi.Stat + "?window=x", "window: 'x'")]
    [InlineData("GET", OperatorsApi.Stat + "?window=s", "window: 's'")]
    [InlineData("GET", OperatorsApi.Edges + "?window=1e9s", "window: '1e9s'")]
    [InlineData("GET", OperatorsApi.Edges + "?window=99999999999999999999999999999m", "window: '9")]
    public async Task Queries_too(string method, string path, string words)
    {
        await using var mesh = await IdentityTestbed.StartAsync();
        using var answer = await mesh.OperateAsync(new HttpMethod(method), path);
        Assert.Equal(400, (int)answer.StatusCode);
        Assert.Contains(words, (await answer.Content.ReadFromJsonAsync(OperatorsJson.Default.OperatorsError))!.Error);
    }

    private static string With(string more) => "{\"identity\":\"ns/shop/sa/cart\"," + more + "}";

    private static ByteArrayContent Json(byte[] body) => new(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };

    /// <summary>Sends the head of a request with a body of some length, and no body.</summary>
    private static async Task<int> AnnounceAsync(IdentityTestbed mesh, string path, long length)
    {
        var token = (await File.ReadAllTextAsync(Path.Combine(mesh.Data, OperatorsFiles.AdminToken))).Trim();
        using var client = new TcpClient();
        await client.ConnectAsync(IPEndPoint.Parse(mesh.Program.Addresses["operators"]));
        var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"POST {path} HTTP/1.1\r\nHost: {mesh.Program.Addresses["operators"]}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"));
        using var reader = new StreamReader(stream);
        var line = await reader.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(20));
        return int.Parse(line!.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
    }

    private static async Task<(int Status, string Text)> PostAsync(IdentityTestbed mesh, string path, HttpContent body)
    {
        using var answer = await mesh.OperateAsync(HttpMethod.Post, path, body);
        var text = await answer.Content.ReadAsStringAsync();
        return ((int)answer.StatusCode, answer.IsSuccessStatusCode || text.Length == 0 ? text : System.Text.Json.JsonSerializer.Deserialize(text, OperatorsJson.Default.OperatorsError)!.Error);
    }
}

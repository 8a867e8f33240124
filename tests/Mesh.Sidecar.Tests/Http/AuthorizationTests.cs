using System.Net;
using System.Net.Http.Headers;
using Mesh.Sidecar.Config;
using Mesh.Sidecar.Tests.Testbed;
using Mesh.Tests;
using static Mesh.Sidecar.Tests.Testbed.Guarded;

namespace Mesh.Sidecar.Tests.Http;

/// <summary>Policies before an HTTP application: what gets through, what a refused client sees, and what operators do.</summary>
public sealed class AuthorizationTests
{
    private const string Anything = """{"any": true}""";

    [Fact]
    public async Task WithoutRulesEverythingGetsThrough()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address));
        Assert.Equal(200, (await bed.AskAsync("GET /x%2F..;/%zz HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
    }

    [Fact]
    public async Task ADenialSays403AndNamesThePolicyOnlyInLogAndMetrics()
    {
        await using var app = RecordingOrigin.Friendly();
        const string Sources = "metadata: {filter_metadata: {mesh.policies: {deny-admin: 'rules/authz.yaml:12'}}},";
        var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, new Guarded.Options(Sources), Rules("DENY", Policy("deny-admin", Path("/admin")))));
        Assert.Equal(200, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        var answer = (await bed.AskAsync("GET /admin?x=1 HTTP/1.1\r\nHost: web\r\nx-request-id: r-1\r\n\r\n"))!;
        Assert.Equal(403, answer.Status);
        Assert.Equal(["RBAC"], answer.Values("x-mesh-failure"));
        Assert.StartsWith("mesh: access denied\nflag: RBAC (rbac_access_denied)\n", answer.Body, StringComparison.Ordinal);
        Assert.DoesNotContain("deny-admin", answer.Head + answer.Body, StringComparison.Ordinal);
        Assert.Single(app.Requests);
        Assert.Equal(1, bed.Sink.Own.AccessDenied.ValueOf("in", "deny-admin"));
        // The answer is sent before the request is counted.
        await Eventually.TrueAsync(() => bed.Sink.Traffic.Requests.All.Any(s => s.Key.Failure == Failure.AccessDenied && s.Latency.Count() == 1));
        await bed.DisposeAsync();
        var line = Assert.Single(bed.Output.ToString().Split('\n'), l => l.Contains("denied by policy", StringComparison.Ordinal));
        Assert.Contains("warn authz denied by policy", line.Replace("\"", "", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Contains("policy=deny-admin at=rules/authz.yaml:12 listener=in filter=rbac0 peer=unauthenticated remote=127.0.0.1:", line, StringComparison.Ordinal);
        Assert.Contains("method=GET path=\"/admin?x=1\" host=web request=r-1", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhereAnAllowPolicyExistsTheRestIsDenied()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("ALLOW", Policy("allow-a", Path("/a")))));
        Assert.Equal(200, (await bed.AskAsync("GET /a HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        Assert.Equal(403, (await bed.AskAsync("GET /b HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        Assert.Equal(1, bed.Sink.Own.AccessDenied.ValueOf("in", "none"));
        bed.Snapshots.Publish(Guarded.Http(bed.Port, app.Address, Rules("ALLOW", "{}")));
        Assert.Equal(403, (await bed.AskAsync("GET /a HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
    }

    [Fact]
    public async Task DenyIsAskedBeforeAllowWhateverTheOrderOfTheFilters()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("ALLOW", "{}"), Rules("DENY", Policy("no", Anything))));
        Assert.Equal(403, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        Assert.Equal((1, 0), (bed.Sink.Own.AccessDenied.ValueOf("in", "no"), bed.Sink.Own.AccessDenied.ValueOf("in", "none")));
    }

    [Fact]
    public async Task TheClientLearnsThePolicyOnlyWhereSomebodySaidSo()
    {
        await using var app = RecordingOrigin.Friendly();
        const string Tells = "metadata: {filter_metadata: {mesh.authz: {denied_by_header: true}}},";
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, new Guarded.Options(Tells), Rules("DENY", Policy("ns[a]-policy[p]-rule[0]", Path("/a"))), Rules("ALLOW", Policy("q", Path("/b")))));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("GET /a HTTP/1.1\r\nHost: web\r\n\r\nGET /c HTTP/1.1\r\nHost: web\r\n\r\nGET /b HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(["ns[a]-policy[p]-rule[0]"], (await client.ReadAnswerAsync())!.Values("x-mesh-denied-by"));
        Assert.Equal(["none"], (await client.ReadAnswerAsync())!.Values("x-mesh-denied-by"));
        var allowed = (await client.ReadAnswerAsync())!;
        Assert.Equal(200, allowed.Status);
        Assert.Empty(allowed.Values("x-mesh-denied-by"));
    }

    [Fact]
    public async Task ADryRunCountsAndChangesNothing()
    {
        await using var app = RecordingOrigin.Friendly();
        var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Shadow("DENY", Policy("try-deny", Path("/a"))), Shadow("ALLOW", Policy("try-allow", Path("/b")))));
        Assert.Equal(200, (await bed.AskAsync("GET /a HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        Assert.Equal(200, (await bed.AskAsync("GET /b HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        // What enforced rules would refuse for its path alone is not refused by a rule that is only tried.
        Assert.Equal(200, (await bed.AskAsync("GET /x%2F..%2Fa HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        Assert.Equal(2, bed.Sink.Own.AccessWouldBeDenied.ValueOf("in", "try-deny"));
        Assert.Equal(2, bed.Sink.Own.AccessWouldBeDenied.ValueOf("in", "none"));
        Assert.Empty(bed.Sink.Own.AccessDenied.Members);
        await bed.DisposeAsync();
        Assert.Equal(4, bed.Output.ToString().Split('\n').Count(l => l.Contains("dry run: would be denied", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task AuditMarksAndRefusesNothing()
    {
        await using var app = RecordingOrigin.Friendly();
        var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("LOG", Policy("watch", """{"url_path": {"path": {"prefix": "/a"}}}""")), Rules("DENY", Policy("no", Path("/a/2")))));
        Assert.Equal(200, (await bed.AskAsync("GET /a/1 HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        Assert.Equal(403, (await bed.AskAsync("GET /a/2 HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        Assert.Equal(200, (await bed.AskAsync("GET /b HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        Assert.Equal(2, bed.Sink.Own.AccessAudited.ValueOf("in", "watch"));
        await bed.DisposeAsync();
        var audits = bed.Output.ToString().Split('\n').Where(l => l.Contains(" authz audit ", StringComparison.Ordinal)).ToArray();
        Assert.Equal(2, audits.Length);
        Assert.Contains("path=/a/1", audits[0], StringComparison.Ordinal);
        Assert.Contains("decision=allowed", audits[0], StringComparison.Ordinal);
        Assert.Contains("decision=denied", audits[1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task AFloodOfDenialsIsCountedWholeAndLoggedInPart()
    {
        await using var app = RecordingOrigin.Friendly();
        var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("DENY", Policy("no", Anything))));
        using (var client = await bed.ConnectAsync())
        {
            for (var i = 0; i < 200; i++) await client.SendAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
            for (var i = 0; i < 200; i++) Assert.Equal(403, (await client.ReadAnswerAsync())!.Status);
        }

        Assert.Equal(200, bed.Sink.Own.AccessDenied.ValueOf("in", "no"));
        await bed.DisposeAsync();
        // Ten a second: the 200 took less than ten seconds.
        Assert.InRange(bed.Output.ToString().Split('\n').Count(l => l.Contains("denied by policy", StringComparison.Ordinal)), 1, 110);
    }

    [Fact]
    public async Task ANewPolicyHoldsForTheNextRequestOfAnOpenConnection()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address));
        using var client = await bed.ConnectAsync();
        await client.SendAsync("GET /a HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
        bed.Snapshots.Publish(Guarded.Http(bed.Port, app.Address, Rules("DENY", Policy("no", Path("/a")))));
        await client.SendAsync("GET /a HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(403, (await client.ReadAnswerAsync())!.Status);
        bed.Snapshots.Publish(Guarded.Http(bed.Port, app.Address));
        await client.SendAsync("GET /a HTTP/1.1\r\nHost: web\r\n\r\n");
        Assert.Equal(200, (await client.ReadAnswerAsync())!.Status);
    }

    [Theory]
    [InlineData("/info/../private", 400)]
    [InlineData("/x%2F..%2Fadmin", 400)]
    [InlineData("/x\\admin", 400)]
    [InlineData("/%252e%252e/admin", 400)]
    [InlineData("/%c0%af", 400)]
    [InlineData("/admin%00", 400)]
    [InlineData("/user/..;foo=bar/admin", 400)]
    [InlineData("/admin", 403)]
    [InlineData("/%61dmin", 403)]
    [InlineData("//admin", 403)]
    [InlineData("/;/admin", 403)]
    [InlineData("/admin;x=y", 403)]
    [InlineData("http://web/admin", 403)]
    [InlineData("http://web/%61dmin?q", 403)]
    [InlineData("/ADMIN", 200)]
    [InlineData("/ok;v=1//x%20y", 200)]
    [InlineData("/?x=/admin", 200)]
    public async Task OnlyPathsWithASingleMeaningComeBeforeARuleAboutPaths(string target, int status)
    {
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("DENY", Policy("no", Path("/admin")))));
        var answer = (await bed.AskAsync($"GET {target} HTTP/1.1\r\nHost: web\r\n\r\n"))!;
        Assert.Equal(status, answer.Status);
        if (status != 200) Assert.Empty(app.Requests);
        // What got through was sent as it came: the application decodes its own paths.
        else Assert.Equal($"GET {target} HTTP/1.1", Assert.Single(app.Requests).Line);
        // NUL is refused by the engine before us.
        if (status == 400 && target != "/admin%00") Assert.Contains("rules here decide by paths", answer.Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task HeadersAreAskedAsTheApplicationGetsThem()
    {
        const string Deny = """{"header": {"name": "x-tenant", "exact_match": "evil"}}""";
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("DENY", Policy("no", Deny)), Rules("ALLOW", Policy("id", """{"header": {"name": "x-request-id", "present_match": true}}"""))));
        Assert.Equal(200, await StatusAsync("x-request-id: 1\r\nx-tenant: good\r\n"));
        Assert.Equal(403, await StatusAsync("x-request-id: 1\r\nX-Tenant: evil\r\n"));
        Assert.Equal(403, await StatusAsync("x-request-id: 1\r\nx-tenant: good\r\nx-tenant: evil\r\n"));
        Assert.Equal(403, await StatusAsync("x-request-id: 1\r\nx-tenant: evil\r\nx-tenant: good\r\n"));
        // Taken out on the way to the application: it cannot be misled by it.
        Assert.Equal(200, await StatusAsync("x-request-id: 1\r\nConnection: x-tenant\r\nx-tenant: evil\r\n"));
        Assert.Equal(403, await StatusAsync("x-tenant: good\r\n"));

        async Task<int> StatusAsync(string fields) => (await bed.AskAsync($"GET / HTTP/1.1\r\nHost: web\r\n{fields}\r\n"))!.Status;
    }

    /// <summary>The application is told http where a client said nothing: so are the rules.</summary>
    [Fact]
    public async Task AFieldThatIsAddedIsSeenByRules()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("DENY", Policy("no", """{"header": {"name": "x-forwarded-proto", "exact_match": "http"}}"""))));
        Assert.Equal(403, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\n\r\n"))!.Status);
        Assert.Equal(403, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\nX-Forwarded-Proto: http\r\n\r\n"))!.Status);
        Assert.Equal(200, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\nX-Forwarded-Proto: https\r\n\r\n"))!.Status);
    }

    [Fact]
    public async Task AddressesArePartOfWhoCalls()
    {
        await using var app = RecordingOrigin.Friendly();
        var local = """{"direct_remote_ip": {"address_prefix": "127.0.0.0", "prefix_len": 8}}""";
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("DENY", Policy("no", $$"""{"destination_port": {{at.Port}}}""", local))));
        Assert.Equal(403, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n"))!.Status);
        bed.Snapshots.Publish(Guarded.Http(bed.Port, app.Address, Rules("DENY", Policy("no", Anything, local.Replace("127", "10", StringComparison.Ordinal)))));
        Assert.Equal(200, (await bed.AskAsync("GET / HTTP/1.1\r\nHost: web\r\nX-Forwarded-For: 10.8.8.8\r\n\r\n"))!.Status);
    }

    [Fact]
    public async Task AGrpcClientGetsItsStatus()
    {
        await using var app = await KestrelOrigin.StartAsync(_ => Task.CompletedTask);
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, Rules("DENY", Policy("no", Path("/shop.Cart/Add")))));
        using var client = new HttpClient { DefaultRequestVersion = HttpVersion.Version20, DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact };
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://{bed.Port}/shop.Cart/Add") { Content = new ByteArrayContent([0, 0, 0, 0, 0]), Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        using var answer = await client.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(["7"], answer.Headers.GetValues("grpc-status"));
        Assert.Contains("access denied", answer.Headers.GetValues("grpc-message").Single(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ConnectIsNotServedWherePoliciesDecide()
    {
        await using var app = RecordingOrigin.Friendly();
        await using var bed = await Bed.StartAsync(at => Guarded.Http(at, app.Address, new Guarded.Options(), Rules("ALLOW", Policy("all", Anything))));
        Assert.Equal(400, (await bed.AskAsync("CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n"))!.Status);
        Assert.Empty(app.AllBytes);
    }
}

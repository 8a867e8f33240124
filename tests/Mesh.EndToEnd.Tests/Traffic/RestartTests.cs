using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Mesh.Api.V1;
using Mesh.Api.Xds;
using Mesh.EndToEnd.Tests.Testbed;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Traffic;

/// <summary>
/// A sidecar that was killed serves again at once, from what it kept on disk, with the control plane down; and never from what it should not.
/// </summary>
public sealed class RestartTests
{
    private const UnixFileMode Owners = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    [Fact]
    public async Task Killed_sidecars_serve_over_mutual_tls_while_the_control_plane_is_down_and_follow_it_when_it_is_back()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            using var state = new TemporaryFolder();
            var echo = bed.Own(new EchoServer());
            await bed.AddPortAsync("db", "db-1", echo.Port, "tcp");
            await bed.ControlPlane.WriteRuleAsync("old.yaml", """
                apiVersion: v1
                kind: Service
                metadata: {name: old}
                spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
                """);
            var web = await bed.AddAsync("web", "web-1", more: ["--state-dir", state["web"]]);
            var client = await bed.JoinAsync("client", "client-1", ["--upstream", "db=127.0.0.1:0:tcp", "--state-dir", state["client"]]);
            using (var http = client.Client())
            {
                await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
                await Eventually.PassesAsync(async () => (await http.GetAsync("http://old/")).EnsureSuccessStatusCode());
            }

            await KeptAsync(client, state["client"], "old");
            await KeptAsync(web.Sidecar, state["web"], "inbound");
            await bed.ControlPlane.KillAsync();
            await client.Process.KillAsync();
            await web.Sidecar.Process.KillAsync();

            var (webAgain, _) = await RelaunchAsync(bed, "web-1", ["--service", "web", "--version-label", "v1", "--port", $"{web.App.Port}:http", "--state-dir", state["web"]], null);
            var (again, first) = await RelaunchAsync(bed, "client-1", ["--service", "client", "--upstream", "db=127.0.0.1:0:tcp", "--state-dir", state["client"]], client.Outbound);
            // Far beyond what it takes alone: the machine that runs tests does much else. docs/benchmarks.md has the figure.
            Assert.True(first < TimeSpan.FromSeconds(20), $"the first answer came after {first.TotalMilliseconds:0} ms");
            Assert.Equal((client.Outbound, client.Upstream("db"), web.Sidecar.Inbound(web.App.Port)), (again.Outbound, again.Upstream("db"), webAgain.Inbound(web.App.Port)));

            await again.BecomeReadyAsync();
            Assert.Contains("serving a kept configuration", again.Process.Output, StringComparison.Ordinal);
            Assert.Matches("LIVE\nserving the configuration kept at .*, [0-9]+ s old", await bed.ControlPlane.Http.GetStringAsync($"http://{again.Admin}/ready"));
            Assert.Contains("mesh_sidecar_kept_configuration_serving 1\n", await again.MetricsAsync(), StringComparison.Ordinal);
            using var through = again.Client();
            Assert.Contains("URI=spiffe://cluster.local/ns/default/sa/client", await through.GetStringAsync("http://web/?headers"), StringComparison.Ordinal);
            Assert.Equal(0, Number(await webAgain.MetricsAsync(), "mesh_sidecar_tls_handshake_failures_total"));
            Assert.True(Number(await webAgain.MetricsAsync(), "mesh_sidecar_tls_handshakes_total") > 0);
            await using var stream = await SteadyStream.OpenAsync(again.Upstream("db"));
            await stream.AssertAliveAsync();

            // It is back, without one of the services: that goes, and nothing else notices.
            bed.ControlPlane.RemoveRule("old.yaml");
            await bed.ControlPlane.LaunchAsync();
            await Eventually.HoldsAsync(async () => (await again.MetricsAsync()).Contains("mesh_sidecar_kept_configuration_serving 0\n", StringComparison.Ordinal), "the control plane's configuration serves");
            await Eventually.PassesAsync(async () => Assert.NotEqual(HttpStatusCode.OK, (await through.GetAsync("http://old/")).StatusCode));
            await Eventually.PassesAsync(async () => (await through.GetAsync("http://web/")).EnsureSuccessStatusCode());
            await stream.AssertAliveAsync();
            Assert.Equal("LIVE\n", await bed.ControlPlane.Http.GetStringAsync($"http://{again.Admin}/ready"));
            Assert.Contains("mesh_sidecar_xds_refused_total 0\n", await again.MetricsAsync(), StringComparison.Ordinal);
        });
    }

    [Fact]
    public async Task What_should_not_be_served_from_is_refused_in_words_and_counted_and_the_start_goes_on_without()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            using var state = new TemporaryFolder();
            await bed.AddAsync("web", "web-1");
            string[] arguments = ["--service", "client", "--state-dir", state["good"]];
            var client = await bed.JoinAsync("client", "client-1", arguments);
            using (var http = client.Client()) await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            await KeptAsync(client, state["good"], "outbound");
            await bed.ControlPlane.KillAsync();
            await client.Process.KillAsync();
            foreach (var (what, reason, words, spoil) in Spoilt)
            {
                var folder = Copy(state["good"], state[what.Replace(' ', '-')]);
                spoil(folder);
                await using var refused = await SidecarProcess.LaunchAsync("client-1", ["--control-plane", bed.ControlPlane.MeshApi, "--service", "client", "--state-dir", folder]);
                await Eventually.HoldsAsync(() => refused.Process.Output.Contains("the kept configuration is not used", StringComparison.Ordinal), what);
                Assert.True(refused.Process.Output.Contains(words, StringComparison.Ordinal), $"{what}: {refused.Process.Output}");
                Assert.Contains($"mesh_sidecar_kept_configuration_refused_total{{reason=\"{reason}\"}} 1\n", await refused.MetricsAsync(), StringComparison.Ordinal);
                Assert.DoesNotContain("PRIVATE KEY", refused.Process.Output, StringComparison.Ordinal);
                using var answer = await bed.ControlPlane.Http.GetAsync($"http://{refused.Admin}/ready");
                Assert.True(answer.StatusCode == HttpStatusCode.ServiceUnavailable, $"{what}: {answer.StatusCode}");
            }

            // Good as it was, for comparison; and what was refused starts all the same when there is a control plane.
            await using (var good = await SidecarProcess.LaunchAsync("client-1", ["--control-plane", bed.ControlPlane.MeshApi, .. arguments])) await good.BecomeReadyAsync();
            await bed.ControlPlane.LaunchAsync();
            await using var whole = await SidecarProcess.LaunchAsync("client-1", ["--control-plane", bed.ControlPlane.MeshApi, "--service", "client", "--state-dir", state["truncated"]]);
            await whole.BecomeReadyAsync();
            using var through = whole.Client();
            await Eventually.PassesAsync(async () => (await through.GetAsync("http://web/")).EnsureSuccessStatusCode());
        });
    }

    [Fact]
    public async Task A_certificate_that_has_ended_is_not_used()
    {
        await using var bed = await MeshTestbed.StartAsync(shape: new ControlPlaneShape { CertificateLife = 15 });
        await bed.RunAsync(async () =>
        {
            using var state = new TemporaryFolder();
            var client = await bed.JoinAsync("client", "client-1", ["--state-dir", state["client"]]);
            await KeptAsync(client, state["client"], "outbound");
            await bed.ControlPlane.KillAsync();
            await client.Process.KillAsync();
            await Task.Delay(TimeSpan.FromSeconds(16));
            await using var late = await SidecarProcess.LaunchAsync("client-1", ["--control-plane", bed.ControlPlane.MeshApi, "--service", "client", "--state-dir", state["client"]]);
            await Eventually.HoldsAsync(() => late.Process.Output.Contains("the kept configuration has no certificate to serve with", StringComparison.Ordinal), "it says why");
            Assert.Contains("the kept certificate is not used", late.Process.Output, StringComparison.Ordinal);
            Assert.Contains("mesh_sidecar_kept_configuration_refused_total{reason=\"certificate\"} 1\n", await late.MetricsAsync(), StringComparison.Ordinal);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await bed.ControlPlane.Http.GetAsync($"http://{late.Admin}/ready")).StatusCode);
        });
    }

    [Fact]
    public async Task A_folder_that_another_sidecar_uses_is_left_to_it()
    {
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            using var state = new TemporaryFolder();
            string[] arguments = ["--state-dir", state["state"], "--identity-dir", state["identity"]];
            var first = await bed.JoinAsync("client", "client-1", arguments);
            await Eventually.HoldsAsync(() => File.Exists(FileOf(state["state"])), "it is kept");
            var second = await bed.JoinAsync("other", "other-1", ["--state-dir", state["state"], "--identity-dir", state["other"]]);
            Assert.Contains("another sidecar, which runs, keeps its own in", second.Process.Output, StringComparison.Ordinal);
            Assert.Contains("mesh_sidecar_kept_configuration_refused_total{reason=\"in_use\"} 1\n", await second.MetricsAsync(), StringComparison.Ordinal);
            // Something changes, and both hear of it: the first one's stays.
            await bed.AddAsync("web", "web-1");
            await Eventually.HoldsAsync(() => Read(File.ReadAllBytes(FileOf(state["state"]))).Resources.SelectMany(r => r.Resources_).Any(any => any.Value.ToStringUtf8().Contains("web", StringComparison.Ordinal)), "the change is kept");
            Assert.Contains("client-1", Read(File.ReadAllBytes(FileOf(state["state"]))).Node.Id, StringComparison.Ordinal);
            Assert.Equal(0, Number(await second.MetricsAsync(), "mesh_sidecar_kept_configuration_writes_total"));
            // Nobody's any more: kill -9 is enough.
            await first.Process.KillAsync();
            await bed.AddAsync("late", "late-1");
            await Eventually.HoldsAsync(() => Read(File.ReadAllBytes(FileOf(state["state"]))).Node.Id.Contains("other-1", StringComparison.Ordinal), "the second one keeps its own there");
        });
    }

    [SkippableTheory]
    [InlineData("size=4k", "remount,size=8m")]
    [InlineData("size=8m", "remount,ro")]
    public async Task A_disk_that_is_full_or_turned_read_only_is_said_and_costs_nothing_else(string mounted, string later)
    {
        Skip.IfNot(Environment.IsPrivilegedProcess, "to mount a disk needs root");
        var turns = later.EndsWith("ro", StringComparison.Ordinal);
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            using var state = new TemporaryFolder();
            var disk = state["disk"];
            Directory.CreateDirectory(disk);
            await MustAsync("mount", "-t", "tmpfs", "-o", mounted + ",mode=0700", "tmpfs", disk);
            try
            {
                var client = await bed.JoinAsync("client", "client-1", ["--state-dir", disk, "--identity-dir", state["identity"]]);
                if (turns)
                {
                    await Eventually.HoldsAsync(async () => Number(await client.MetricsAsync(), "mesh_sidecar_kept_configuration_writes_total") > 0, "it is kept");
                    await MustAsync("mount", "-o", later, disk);
                }

                var web = await bed.AddAsync("web", "web-1");
                await Eventually.HoldsAsync(async () => Number(await client.MetricsAsync(), "mesh_sidecar_kept_configuration_write_failures_total") > 0, "the disk refuses");
                Assert.Contains("the configuration cannot be kept", client.Process.Output, StringComparison.Ordinal);
                using var http = client.Client();
                await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
                client.Process.MustRun();
                Assert.Empty(Directory.GetFiles(disk, "*.new"));
                if (turns)
                {
                    // And one that starts there, from what is readable still, with the control plane down.
                    await bed.ControlPlane.KillAsync();
                    await client.Process.KillAsync();
                    await using var again = await SidecarProcess.LaunchAsync("client-1", ["--control-plane", bed.ControlPlane.MeshApi, "--service", "client", "--state-dir", disk, "--identity-dir", state["identity"]]);
                    await again.BecomeReadyAsync();
                }
            }
            finally
            {
                await MustAsync("umount", "-l", disk);
            }
        });
    }

    [SkippableFact]
    [Trait("Category", "Long")]
    public async Task A_hundred_kills_under_load_cost_what_was_open_and_say_so()
    {
        ExternalProgram.Require("fortio");
        const int kills = 100;
        const int connections = 8;
        await using var bed = await MeshTestbed.StartAsync();
        await bed.RunAsync(async () =>
        {
            using var state = new TemporaryFolder();
            var stays = await bed.AddAsync("web", "web-1");
            var killed = await bed.AddAsync("web", "web-2", more: ["--state-dir", state["web"]]);
            var client = await bed.AddClientAsync("client");
            using (var http = client.Client()) await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            await KeptAsync(killed.Sidecar, state["web"], "inbound");
            await using var load = Load.Start(client.Outbound, "/?delay=5", "web", new LoadShape(Rate: 200, Connections: connections));
            var sidecar = killed.Sidecar;
            for (var i = 0; i < kills; i++)
            {
                var before = killed.App.Requests;
                await Eventually.HoldsAsync(() => killed.App.Requests > before, $"it serves again, after {i} kills");
                await sidecar.Process.KillAsync();
                if (i > 0) await sidecar.DisposeAsync();
                sidecar = await SidecarProcess.LaunchAsync("web-2", ["--control-plane", bed.ControlPlane.MeshApi, "--service", "web", "--version-label", "v1", "--port", $"{killed.App.Port}:http", "--state-dir", state["web"]]);
            }

            bed.Own(sidecar);
            var result = await load.EndAsync();
            var failed = result.Codes.Where(code => code.Key != "200").ToList();
            // Each failure is an answer of the client's sidecar: nothing hung, and nothing ended without a word.
            Assert.All(failed, code => Assert.Contains(code.Key, (string[])["502", "503"]));
            Assert.InRange(failed.Sum(code => code.Value), 0, kills * connections);
            Assert.True(result.Codes["200"] > kills, "there was load");
            Assert.DoesNotContain(stays.App.Ledger.Concat(killed.App.Ledger), entry => entry.Value > 1);
        });
    }

    // What is done to a copy of a good folder, and what must be said of it.
    private static readonly (string What, string Reason, string Words, Action<string> Do)[] Spoilt =
    [
        ("truncated", "damaged", "is damaged", folder => Change(folder, bytes => bytes[..(bytes.Length / 2)])),
        ("altered", "damaged", "is damaged", folder => Change(folder, bytes =>
        {
            bytes[bytes.Length / 2] ^= 1;
            return bytes;
        })),
        ("empty", "damaged", "no kept configuration", folder => Change(folder, _ => [])),
        ("another node", "foreign", "was kept by the node sidecar~127.0.0.1~client-2~default", folder => Forge(folder, kept => kept.Node.Id = "sidecar~127.0.0.1~client-2~default")),
        ("another identity", "foreign", "was kept by spiffe://cluster.local/ns/default/sa/other", folder => Forge(folder, kept => kept.Identity = "spiffe://cluster.local/ns/default/sa/other")),
        ("another trust domain", "foreign", "was kept by spiffe://other.mesh/ns/default/sa/client", folder => Forge(folder, kept => kept.Identity = "spiffe://other.mesh/ns/default/sa/client")),
        ("loose file", "unreadable", "chmod 600", folder => File.SetUnixFileMode(FileOf(folder), Owners | UnixFileMode.OtherRead)),
        ("loose folder", "unreadable", "chmod 700", folder => File.SetUnixFileMode(folder, Owners | UnixFileMode.UserExecute | UnixFileMode.GroupExecute)),
        ("old", "old", "25 hours", folder => Forge(folder, kept => kept.Confirmed = Timestamp.FromDateTimeOffset(DateTimeOffset.UtcNow.AddHours(-25)))),
        ("of tomorrow", "clock", "is to come", folder => Forge(folder, kept => kept.Confirmed = Timestamp.FromDateTimeOffset(DateTimeOffset.UtcNow.AddHours(1)))),
        ("revoked", "revoked", "is revoked", folder => Forge(folder, kept => kept.Resources.Single(resources => resources.TypeUrl == TypeUrls.IdentityRevocations).Resources_[0] = Packing.Pack(new IdentityRevocations { Identities = { kept.Identity } }))),
        ("no certificate", "certificate", "has no certificate to serve with", folder => Directory.Delete(Path.Combine(folder, "identity"), recursive: true)),
        ("resources nobody understands", "resources", "is refused: Cluster #0", folder => Forge(folder, kept => kept.Resources.Single(resources => resources.TypeUrl == TypeUrls.Cluster).Resources_[0].Value = ByteString.CopyFrom(255))),
    ];

    private static async Task MustAsync(string program, params string[] arguments)
    {
        await using var run = ChildProcess.Start(program, arguments);
        Assert.True(await run.WaitAsync(30) == 0, $"{program}: {run.Output}");
    }

    private static string FileOf(string folder) => Path.Combine(folder, "configuration");

    private static void Change(string folder, Func<byte[], byte[]> change) => File.WriteAllBytes(FileOf(folder), change(File.ReadAllBytes(FileOf(folder))));

    private static void Forge(string folder, Action<KeptConfiguration> change) => Change(folder, bytes =>
    {
        var kept = Read(bytes);
        change(kept);
        byte[] content = [.. bytes[..Heading(bytes)], .. kept.ToByteArray()];
        return [.. content, .. SHA256.HashData(content)];
    });

    // The format, read by its description: a heading of one line, the message, the SHA-256 of both.
    private static KeptConfiguration Read(byte[] bytes) => KeptConfiguration.Parser.ParseFrom(bytes.AsSpan()[Heading(bytes)..^SHA256.HashSizeInBytes]);

    private static int Heading(byte[] bytes) => Array.IndexOf(bytes, (byte)'\n') + 1;

    private static string Copy(string from, string to)
    {
        Directory.CreateDirectory(to, Owners | UnixFileMode.UserExecute);
        foreach (var file in Directory.GetFiles(from)) File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        foreach (var folder in Directory.GetDirectories(from)) Copy(folder, Path.Combine(to, Path.GetFileName(folder)));
        return to;
    }

    /// <summary>Waits until what a sidecar kept holds a resource with this in its name.</summary>
    private static async Task KeptAsync(SidecarProcess sidecar, string folder, string name) => await Eventually.HoldsAsync(() =>
    {
        sidecar.Process.MustRun();
        if (!File.Exists(FileOf(folder)) || !File.Exists(Path.Combine(folder, "identity/identity.pem"))) return false;
        return Read(File.ReadAllBytes(FileOf(folder))).Resources.SelectMany(resources => resources.Resources_).Any(any => any.Value.ToStringUtf8().Contains(name, StringComparison.Ordinal));
    }, $"{name} is kept");

    /// <summary>Starts one again, and measures from before it is executed to the first good answer of the mesh through its outbound port.</summary>
    private static async Task<(SidecarProcess Sidecar, TimeSpan First)> RelaunchAsync(MeshTestbed bed, string workload, string[] arguments, string? outbound)
    {
        var begun = Stopwatch.StartNew();
        var launching = SidecarProcess.LaunchAsync(workload, ["--control-plane", bed.ControlPlane.MeshApi, .. arguments]);
        var first = TimeSpan.Zero;
        if (outbound is not null)
        {
            using var http = new HttpClient(new SocketsHttpHandler { Proxy = new WebProxy($"http://{outbound}"), UseProxy = true }) { Timeout = TimeSpan.FromSeconds(5) };
            await Eventually.PassesAsync(async () => (await http.GetAsync("http://web/")).EnsureSuccessStatusCode());
            first = begun.Elapsed;
        }

        return (bed.Own(await launching), first);
    }

    private static double Number(string metrics, string name) =>
        metrics.Split('\n').Where(line => line.StartsWith(name, StringComparison.Ordinal)).Sum(line => double.Parse(line.Split(' ')[^1], System.Globalization.CultureInfo.InvariantCulture));
}

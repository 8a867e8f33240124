using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;
using static Mesh.EndToEnd.Tests.Captured.ProtocolNetwork;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>Real servers and their real clients through capture and mutual TLS. None of them knows of it.</summary>
[Collection(ProtocolMachines.Group)]
public sealed class ServerTests(ProtocolMachines machines)
{
    [SkippableTheory]
    [InlineData(6379)]
    [InlineData(6380)]
    public Task Redis(int port) => machines.RunOnServerAsync("redis", ["6379:tcp:redis", "6380"], Servers.RedisAsync, async (network, address) =>
    {
        var client = network.Client.Host;
        Assert.Equal("PONG\n", (await client.RunAsync("redis-cli", "-h", address, "-p", $"{port}", "ping")).Output);
        var many = await client.RunAsync(NetworkHost.AppUser, string.Concat(Enumerable.Range(0, 500).Select(i => $"set key{i} {i}\nget key{i}\n")), "redis-cli", "-h", address, "-p", $"{port}");
        Assert.Equal(string.Concat(Enumerable.Range(0, 500).Select(i => $"OK\n{i}\n")), many.Output);
        // Large values, pipelined.
        Assert.Equal(0, (await client.RunAsync("redis-benchmark", "-h", address, "-p", $"{port}", "-n", "2000", "-c", "10", "-P", "8", "-d", "2000", "-t", "set,get", "-q")).Code);
    });

    [SkippableFact]
    public Task Postgres() => machines.RunOnServerAsync("postgres", ["5432"], Servers.PostgresAsync, async (network, address) =>
    {
        // psql asks for TLS first; the server says no, and the session goes on in what mutual TLS carries.
        var asked = await network.Client.Host.RunAsync("psql", "-h", address, "-U", "tester", "-d", "postgres", "-At", "-c", "select sum(n) from generate_series(1, 100000) n");
        Assert.True(asked.Output == "5000050000\n", asked.All);
        Assert.Equal(2_000_000 + 1, (await network.Client.Host.RunAsync("psql", "-h", address, "-U", "tester", "-d", "postgres", "-At", "-c", "select repeat('x', 2000000)")).Output.Length);
    });

    [SkippableFact]
    public Task Nats() => machines.RunOnServerAsync("nats", ["4222"], host => host.ServeAsync("Server is ready", ExternalProgram.Require("nats-server"), "-p", "4222", "-a", "::"), async (network, address) =>
    {
        using var subscriber = await network.Client.Host.ConnectAsync(address, 4222);
        using var publisher = await network.Client.Host.ConnectAsync(address, 4222);
        foreach (var one in new[] { subscriber, publisher })
        {
            // The server speaks first.
            Assert.StartsWith("INFO {", await Wire.ReadUntilAsync(one, "\r\n"), StringComparison.Ordinal);
            await Wire.SendAsync(one, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n");
            await Wire.ReadUntilAsync(one, "PONG\r\n");
        }

        await Wire.SendAsync(subscriber, "SUB news 1\r\nPING\r\n");
        await Wire.ReadUntilAsync(subscriber, "PONG\r\n");
        await Wire.SendAsync(publisher, "PUB news 5\r\nhello\r\n");
        Assert.Equal("MSG news 1 5\r\nhello\r\n", await Wire.ReadUntilAsync(subscriber, "hello\r\n"));
    });

    [SkippableFact]
    [Trait("Category", "Long")]
    public Task Rabbitmq() => machines.RunOnServerAsync("rabbitmq", ["5672"], Servers.RabbitmqAsync, async (network, address) =>
    {
        var url = $"amqp://guest:guest@{InUrl(address)}:5672/%2f";
        var client = network.Client.Host;
        foreach (var (program, arguments) in ((string, string[])[])[("amqp-declare-queue", ["-q", "orders"]), ("amqp-publish", ["-r", "orders", "-b", "one order"])])
        {
            var ran = await client.RunAsync(program, ["-u", url, .. arguments]);
            Assert.True(ran.Code == 0, ran.All);
        }

        Assert.Equal("one order", (await client.RunAsync("amqp-get", "-u", url, "-q", "orders")).Output);
    });

    [SkippableFact]
    public Task Mysql() => machines.RunOnServerAsync("mysql", ["3306"], Servers.MariadbAsync, async (network, address) =>
    {
        // The server speaks first, and the client answers with a scrambled password.
        var asked = await network.Client.Host.RunAsync("mariadb", "-h", address, "-P", "3306", "-u", "tester", "-psecret", "--skip-ssl", "-N", "tester", "-e", "select sum(seq) from seq_1_to_100000; select length(repeat('x', 2000000)); select repeat('x', 2000000)");
        Assert.True(asked.Code == 0, asked.All);
        Assert.Equal($"5000050000\n2000000\n{new string('x', 2_000_000)}\n", asked.Output);
        var refused = await network.Client.Host.RunAsync("mariadb", "-h", address, "-P", "3306", "-u", "tester", "-pwrong", "--skip-ssl", "-e", "select 1");
        Assert.Contains("Access denied for user", refused.Error, StringComparison.Ordinal);
    });

    [SkippableFact]
    public Task Mail() => machines.RunOnServerAsync("mail", ["25:tcp:smtp", "587"], Servers.MailAsync, async (network, address) =>
    {
        foreach (var port in (string[])["25", "587"])
        {
            var sent = await network.Client.Host.RunAsync(CapturedShop.Python, "-c", """
                import smtplib, sys
                with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=20) as server:
                    print(server.ehlo()[0], server.sendmail("me@example", ["you@example", "nobody@example"], "Subject: x\r\n\r\n" + "line\r\n" * 10000))
                """, address, port);
            Assert.True(sent.Output == "250 {'nobody@example': (550, b'no such mailbox')}\n", sent.All);
        }
    });

    [SkippableFact]
    public Task Thrift() => machines.RunOnServerAsync("thrift", ["9095:tcp:calls", "9096"], Servers.ThriftAsync, async (network, address) =>
    {
        foreach (var port in (string[])["9095", "9096"])
        {
            var called = await network.Client.Host.RunAsync(CapturedShop.Python, CapturedMesh.Script("thrift_app.py"), "call", address, port);
            Assert.True(called.Output == "MESSAGE 1 1\nMESSAGE 2 2\nMESSAGE 3 3\n1000000\n", called.All);
        }
    });
}

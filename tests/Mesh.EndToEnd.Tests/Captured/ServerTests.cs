using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;
using static Mesh.EndToEnd.Tests.Captured.ProtocolNetwork;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>Real servers and their real clients through capture and mutual TLS. None of them knows of it.</summary>
[Collection(ProtocolMachines.Group)]
public sealed class ServerTests(ProtocolMachines machines)
{
    private static readonly string[] GrpcPorts = ["50051:grpc:grpc", "50052"];

    [SkippableTheory]
    [InlineData(6379)]
    [InlineData(6380)]
    public Task Redis(int port) => machines.RunOnServerAsync("redis", ["6379:tcp:redis", "6380"], StartRedisAsync, async (network, address) =>
    {
        var client = network.Client.Host;
        Assert.Equal("PONG\n", (await client.RunAsync("redis-cli", "-h", address, "-p", $"{port}", "ping")).Output);
        var many = await client.RunAsync(NetworkHost.AppUser, string.Concat(Enumerable.Range(0, 500).Select(i => $"set key{i} {i}\nget key{i}\n")), "redis-cli", "-h", address, "-p", $"{port}");
        Assert.Equal(string.Concat(Enumerable.Range(0, 500).Select(i => $"OK\n{i}\n")), many.Output);
        // Large values, pipelined.
        Assert.Equal(0, (await client.RunAsync("redis-benchmark", "-h", address, "-p", $"{port}", "-n", "2000", "-c", "10", "-P", "8", "-d", "2000", "-t", "set,get", "-q")).Code);
    });

    [SkippableFact]
    public Task Postgres() => machines.RunOnServerAsync("postgres", ["5432"], StartPostgresAsync, async (network, address) =>
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
    public Task Rabbitmq() => machines.RunOnServerAsync("rabbitmq", ["5672"], StartRabbitmqAsync, async (network, address) =>
    {
        var url = $"amqp://guest:guest@{InUrl(address)}:5672/";
        var client = network.Client.Host;
        foreach (var (program, arguments) in ((string, string[])[])[("amqp-declare-queue", ["-q", "orders"]), ("amqp-publish", ["-r", "orders", "-b", "one order"])])
        {
            var ran = await client.RunAsync(program, ["-u", url, .. arguments]);
            Assert.True(ran.Code == 0, ran.All);
        }

        Assert.Equal("one order", (await client.RunAsync("amqp-get", "-u", url, "-q", "orders")).Output);
    });

    [SkippableTheory]
    [InlineData(50051)]
    [InlineData(50052)]
    public Task Grpc_of_the_four_kinds(int port) => machines.RunOnServerAsync("grpc", GrpcPorts, StartGrpcAsync, async (network, address) =>
    {
        var called = await network.Client.Host.RunAsync(CapturedShop.Python, CapturedMesh.Script("grpc_app.py"), "call", $"{InUrl(address)}:{port}");
        Assert.True(called.Code == 0, called.All);
        var lines = called.Output.Split('\n');
        Assert.StartsWith("hello ", lines[0], StringComparison.Ordinal);
        Assert.Contains("URI=spiffe://cluster.local/ns/default/sa/client", lines[0], StringComparison.Ordinal);
        Assert.Equal(["['x', 'x', 'x']", "4", "['1', '2']", "FAILED_PRECONDITION you said so"], lines[1..5]);
    });

    [SkippableTheory]
    [InlineData(50051)]
    [InlineData(50052)]
    public Task Grpc_under_load(int port) => machines.RunAsync(async network =>
    {
        var ghz = ExternalProgram.Require("ghz");
        await network.ServerAsync("grpc", GrpcPorts, StartGrpcAsync);
        await network.WaysAsync("grpc");
        foreach (var method in (string[])["Unary", "Talk"])
        {
            var ran = await network.Client.Host.RunAsync(ghz, "--insecure", "--proto", CapturedMesh.Script("echo.proto"), "--call", $"mesh.lab.Echo/{method}", "-d", "{\"text\":\"x\"}",
                "-n", "600", "-c", "10", "--connections", "3", "--timeout", "30s", $"grpc:{port}");
            Assert.True(ran.Code == 0 && ran.Output.Contains("[OK]   600 responses", StringComparison.Ordinal), ran.All);
        }
    });

    [SkippableFact]
    public Task The_applications_own_tls_passes_by_its_server_name() => machines.RunOnServerAsync("nginx", ["8443"], StartNginxAsync, async (network, address) =>
    {
        foreach (var (version, said) in (((string, string)[])[("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")]))
        {
            // The certificate that curl sees is the application's.
            var asked = await network.Client.Host.CurlAsync(version, "-k", "-v", "--connect-to", $"secure.example:8443:{InUrl(address)}:8443", "https://secure.example:8443/");
            Assert.Equal($"secure.example {said}\n200", asked.Output);
            Assert.Contains("subject: CN=secure.example", asked.Error, StringComparison.Ordinal);
        }
    });

    [SkippableFact]
    public Task What_is_not_tcp_passes_and_check_says_so() => machines.RunAsync(async network =>
    {
        await network.Outside.ServeAsync("serving", CapturedShop.Python, "-uc", """
            import socket
            s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            s.bind(("::", 5000))
            print("serving")
            while True:
                data, peer = s.recvfrom(2000)
                s.sendto(data + b" from " + peer[0].removeprefix("::ffff:").encode(), peer)
            """);
        foreach (var (address, from) in ((string, string)[])[(network.Outside.Address, network.Client.Host.Address), (network.Outside.Address6, network.Client.Host.Address6)])
        {
            var asked = await network.Client.Host.RunAsync(CapturedShop.Python, "-c", """
                import socket, sys
                s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
                s.settimeout(5)
                s.sendto(b"hello", (sys.argv[1], 5000))
                print(s.recv(2000).decode())
                """, address);
            Assert.Equal($"hello from {from}\n", asked.Output);
        }

        Assert.Contains("UDP", await network.Client.CaptureAsync("check"), StringComparison.Ordinal);
    });

    private static async Task StartRedisAsync(NetworkHost host)
    {
        var redis = ExternalProgram.Require("redis-server");
        ExternalProgram.Require("redis-cli");
        foreach (var port in (string[])["6379", "6380"])
            await host.ServeAsync("Ready to accept connections", redis, "--port", port, "--save", "", "--appendonly", "no", "--protected-mode", "no", "--bind", "0.0.0.0", "::");
    }

    private static async Task StartPostgresAsync(NetworkHost host)
    {
        var programs = Directory.Exists("/usr/lib/postgresql") ? Directory.GetDirectories("/usr/lib/postgresql").Select(d => Path.Combine(d, "bin")).FirstOrDefault(d => File.Exists(Path.Combine(d, "postgres"))) : null;
        Skip.If(programs is null, "no postgres: Debian package postgresql");
        ExternalProgram.Require("psql");
        var folder = await Owned.FolderAsync(host);
        var made = await host.RunAsync($"{programs}/initdb", "-D", folder["data"], "-U", "tester", "-A", "trust", "--no-sync");
        Assert.True(made.Code == 0, made.All);
        await File.AppendAllTextAsync(folder["data/pg_hba.conf"], "host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n");
        await host.ServeAsync("ready to accept connections", $"{programs}/postgres", "-D", folder["data"], "-p", "5432", "-h", "*", "-k", folder.Path, "-c", "fsync=off");
    }

    private static async Task StartRabbitmqAsync(NetworkHost host)
    {
        const string Program = "/usr/lib/rabbitmq/bin/rabbitmq-server";
        Skip.IfNot(File.Exists(Program), "no RabbitMQ: Debian package rabbitmq-server");
        foreach (var client in (string[])["amqp-declare-queue", "amqp-publish", "amqp-get"]) ExternalProgram.Require(client);
        var folder = await Owned.FolderAsync(host);
        await File.WriteAllTextAsync(folder["rabbitmq.conf"], "listeners.tcp.1 = :::5672\nloopback_users = none\n");
        var broker = host.Start(NetworkHost.AppUser, Program, [], ("HOME", folder.Path), ("RABBITMQ_MNESIA_BASE", folder["mnesia"]), ("RABBITMQ_LOGS", "-"), ("RABBITMQ_LOG_BASE", folder.Path), ("RABBITMQ_NODENAME", "lab@localhost"),
            ("RABBITMQ_CONFIG_FILE", folder["rabbitmq"]), ("RABBITMQ_ENABLED_PLUGINS_FILE", folder["plugins"]), ("RABBITMQ_PID_FILE", folder["pid"]));
        await Eventually.HoldsAsync(() => broker.HasExited || broker.Output.Contains("completed with", StringComparison.Ordinal), "the broker starts", 120);
        broker.MustRun();
    }

    private static async Task StartGrpcAsync(NetworkHost host)
    {
        var has = await host.RunAsync(CapturedShop.Python, "-c", "import grpc");
        Skip.If(has.Code != 0, "gRPC for Python is not installed (Debian package python3-grpcio)");
        foreach (var port in (string[])["50051", "50052"]) await host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("grpc_app.py"), "serve", port);
    }

    private static async Task StartNginxAsync(NetworkHost host)
    {
        var (openssl, nginx) = (ExternalProgram.Require("openssl"), ExternalProgram.Require("nginx"));
        var folder = await Owned.FolderAsync(host);
        var made = await host.RunAsync(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder["key"], "-out", folder["crt"],
            "-subj", "/CN=secure.example", "-addext", "subjectAltName=DNS:secure.example", "-days", "1");
        Assert.True(made.Code == 0, made.All);
        await File.WriteAllTextAsync(folder["conf"], $$"""
            daemon off; pid {{folder["pid"]}}; error_log stderr notice; worker_processes 1; events {}
            http {
              access_log off;
              client_body_temp_path {{folder["body"]}}; proxy_temp_path {{folder["proxy"]}}; fastcgi_temp_path {{folder["fast"]}}; uwsgi_temp_path {{folder["uwsgi"]}}; scgi_temp_path {{folder["scgi"]}};
              server { listen [::]:8443 ssl http2 ipv6only=off; ssl_certificate {{folder["crt"]}}; ssl_certificate_key {{folder["key"]}}; location / { return 200 "$ssl_server_name $server_protocol"; } }
            }
            """);
        await host.ServeAsync("start worker process ", nginx, "-c", folder["conf"], "-e", "stderr");
    }
}

using Mesh.EndToEnd.Tests.Testbed.Network;
using Mesh.Tests;

namespace Mesh.EndToEnd.Tests.Captured;

/// <summary>Real servers on machines of tests, each with nothing but its own flags; they end with the machine. Who lacks one skips the test. Stateless.</summary>
internal static class Servers
{
    /// <summary>Redis on 6379 and 6380.</summary>
    public static async Task RedisAsync(NetworkHost host)
    {
        var redis = ExternalProgram.Require("redis-server");
        ExternalProgram.Require("redis-cli");
        foreach (var port in (string[])["6379", "6380"])
            await host.ServeAsync("Ready to accept connections", redis, "--port", port, "--save", "", "--appendonly", "no", "--protected-mode", "no", "--bind", "0.0.0.0", "::");
    }

    /// <summary>PostgreSQL on 5432.</summary>
    public static async Task PostgresAsync(NetworkHost host)
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

    /// <summary>RabbitMQ on 5672.</summary>
    public static async Task RabbitmqAsync(NetworkHost host)
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

    /// <summary>gRPC's C core on 50051 and 50052.</summary>
    public static async Task GrpcAsync(NetworkHost host)
    {
        var has = await host.RunAsync(CapturedShop.Python, "-c", "import grpc");
        Skip.If(has.Code != 0, "gRPC for Python is not installed (Debian package python3-grpcio)");
        foreach (var port in (string[])["50051", "50052"]) await host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("grpc_app.py"), "serve", port);
    }

    /// <summary>nginx: TLS on 8443, HTTP/2 by prior knowledge on 8083 and 8084.</summary>
    public static async Task NginxAsync(NetworkHost host)
    {
        var (openssl, nginx) = (ExternalProgram.Require("openssl"), ExternalProgram.Require("nginx"));
        var folder = await Owned.FolderAsync(host);
        var made = await host.RunAsync(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder["key"], "-out", folder["crt"],
            "-subj", "/CN=secure.example", "-addext", "subjectAltName=DNS:secure.example", "-days", "1");
        Assert.True(made.Code == 0, made.All);
        await File.WriteAllBytesAsync(folder["large"], new byte[5_000_000]);
        await File.WriteAllTextAsync(folder["conf"], $$"""
            daemon off; pid {{folder["pid"]}}; error_log stderr notice; worker_processes 1; events {}
            http {
              access_log off;
              client_body_temp_path {{folder["body"]}}; proxy_temp_path {{folder["proxy"]}}; fastcgi_temp_path {{folder["fast"]}}; uwsgi_temp_path {{folder["uwsgi"]}}; scgi_temp_path {{folder["scgi"]}};
              server { listen [::]:8083 http2 ipv6only=off; listen [::]:8084 http2 ipv6only=off; location = / { return 200 "h2c $server_protocol"; } location = /large { root {{folder.Path}}; } location / { return 404; } }
              server { listen [::]:8443 ssl http2 ipv6only=off; ssl_certificate {{folder["crt"]}}; ssl_certificate_key {{folder["key"]}}; location / { return 200 "$ssl_server_name $server_protocol"; } }
            }
            """);
        await host.ServeAsync("start worker process ", nginx, "-c", folder["conf"], "-e", "stderr");
    }

    /// <summary>MariaDB on 3306, with a user of its own.</summary>
    public static async Task MariadbAsync(NetworkHost host)
    {
        var (server, install) = (ExternalProgram.Require("mariadbd"), ExternalProgram.Require("mariadb-install-db"));
        ExternalProgram.Require("mariadb");
        var folder = await Owned.FolderAsync(host);
        var made = await host.RunAsync(install, "--no-defaults", $"--datadir={folder["data"]}", "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-flush-method=fsync");
        Assert.True(made.Code == 0, made.All);
        await File.WriteAllTextAsync(folder["init"], "create user tester@'%' identified by 'secret';\ncreate database tester;\ngrant all on tester.* to tester@'%';\n");
        await host.ServeAsync("ready for connections", server, "--no-defaults", $"--datadir={folder["data"]}", $"--socket={folder["socket"]}", $"--pid-file={folder["pid"]}", $"--init-file={folder["init"]}",
            "--port=3306", "--bind-address=*", "--skip-log-bin", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0");
    }

    /// <summary>Python's mail server on 25 and 587: whoever is not called nobody has a mailbox.</summary>
    public static async Task MailAsync(NetworkHost host)
    {
        host.Namespace.Must("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start");
        await host.ServeAsync("serving", CapturedShop.Python, "-W", "ignore", "-uc", """
            import asyncore, smtpd, socket

            class Channel(smtpd.SMTPChannel):
                def smtp_RCPT(self, arg):
                    if "nobody" in arg: self.push("550 no such mailbox")
                    else: super().smtp_RCPT(arg)

            class Server(smtpd.SMTPServer):
                channel_class = Channel
                def process_message(self, peer, sender, to, data, **_):
                    return None if len(data) > 50000 else "554 short"

            for port in (25, 587): Server(("::", port), None)
            print("serving")
            asyncore.loop()
            """);
    }

    /// <summary>vsftpd on 21 with one large file, for everybody.</summary>
    public static async Task FtpAsync(NetworkHost host)
    {
        var server = ExternalProgram.Require("vsftpd");
        var folder = await Owned.FolderAsync(host);
        await File.WriteAllBytesAsync(folder["large"], new byte[3_000_000]);
        await File.WriteAllTextAsync(folder["conf"], $"""
            listen=NO
            listen_ipv6=YES
            background=NO
            anonymous_enable=YES
            no_anon_password=YES
            port_promiscuous=YES
            anon_root={folder["files"]}
            secure_chroot_dir={folder["empty"]}
            seccomp_sandbox=NO
            isolate_network=NO

            """);
        Directory.CreateDirectory(folder["files"]);
        Directory.CreateDirectory(folder["empty"]);
        File.Move(folder["large"], folder["files/large"]);
        File.SetUnixFileMode(folder.Path, (UnixFileMode)0b111_101_101);
        // It begins as root, and leaves that for each client.
        host.Start(0, server, [folder["conf"]]);
    }

    /// <summary>Thrift on 9095 and 9096.</summary>
    public static async Task ThriftAsync(NetworkHost host)
    {
        var has = await host.RunAsync(CapturedShop.Python, "-c", "import thrift");
        Skip.If(has.Code != 0, "Thrift for Python is not installed (Debian package python3-thrift)");
        foreach (var port in (string[])["9095", "9096"]) await host.ServeAsync("serving", CapturedShop.Python, CapturedMesh.Script("thrift_app.py"), "serve", port);
    }
}

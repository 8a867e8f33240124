using System.Globalization;
using System.Text;

namespace Mesh.Benchmarks;

/// <summary>
/// How each program is run as one end of a pair: one worker, TLS 1.3 alone, the peer's certificate demanded and checked on both ends, no session
/// ever resumed, keep-alive on both sides for HTTP, no access log.
/// </summary>
internal static class PairPrograms
{
    private const string StreamModule = "/usr/lib/nginx/modules/ngx_stream_module.so";

    /// <summary>The programs that can be had here, by name.</summary>
    public static IReadOnlyList<string> Available => [.. Hops.Available.Where(n => n != "nginx" || File.Exists(StreamModule))];

    /// <summary>Starts an end ("client" or "server").</summary>
    public static Subject Start(string name, string end, IReadOnlyList<Leg> legs, string cores, string folder, PairCertificates certificates)
    {
        switch (name)
        {
            case "haproxy":
                return Subject.Start(name, 0, cores, Log(folder), "haproxy", "-f", Config(folder, Haproxy(end, legs, certificates)));
            case "nginx":
                return Subject.Start(name, 0, cores, Log(folder), "nginx", "-p", folder, "-c", Config(folder, Nginx(folder, end, legs, certificates)));
            default:
                return StartStatic(name, folder, cores, PairResources.Write(end, legs, certificates, name == "envoy"));
        }
    }

    /// <summary>Starts one of the two programs that read xDS resources.</summary>
    public static Subject StartStatic(string name, string folder, string cores, string resources) => name switch
    {
        "mesh" => Subject.Start(
            name, 0, cores, Log(folder), Environment.GetEnvironmentVariable("MESH_BENCH_SIDECAR")!, "--static", Config(folder, resources),
            "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--readiness", "127.0.0.1:0", "--access-log", "off"),
        "envoy" => Subject.Start(
            name, 0, cores, Log(folder), Environment.GetEnvironmentVariable("MESH_BENCH_ENVOY")!, "-c", Config(folder, resources),
            "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warn"),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "no such program"),
    };

    private static string Log(string folder) => Path.Combine(folder, "log");

    private static string Config(string folder, string text)
    {
        var path = Path.Combine(folder, "config.yaml");
        File.WriteAllText(path, text);
        return path;
    }

    private static string Haproxy(string end, IReadOnlyList<Leg> legs, PairCertificates certificates)
    {
        var tls = $"ssl crt {certificates.Both(end)} ca-file {certificates.Roots} verify required ssl-min-ver TLSv1.3";
        var text = new StringBuilder("""
            global
              nbthread 1
              maxconn 8000
              tune.ssl.cachesize 0
            defaults
              timeout connect 5s
              timeout client 1h
              timeout server 1h

            """);
        foreach (var leg in legs)
        {
            text.Append(CultureInfo.InvariantCulture, $"""
                listen {leg.Name}
                  mode {(leg.IsHttp ? "http\n  http-reuse always" : "tcp")}
                  bind 127.0.0.1:{leg.Listen}{(leg.TlsIn ? $" {tls} no-tls-tickets" : "")}
                  server next 127.0.0.1:{leg.Target}{(leg.TlsOut ? $" {tls} no-ssl-reuse" : "")}

                """);
        }

        return text.ToString();
    }

    private static string Nginx(string folder, string end, IReadOnlyList<Leg> legs, PairCertificates certificates)
    {
        string Own(string prefix) =>
            $"{prefix}_certificate {certificates.Chain(end)}; {prefix}_certificate_key {certificates.Key(end)}; {prefix}_protocols TLSv1.3; {prefix}_verify_depth 2;";
        var tlsIn = $"{Own("ssl")} ssl_client_certificate {certificates.Roots}; ssl_verify_client on; ssl_session_cache off; ssl_session_tickets off;";
        var tlsOut = $"{Own("proxy_ssl")} proxy_ssl_trusted_certificate {certificates.Roots}; proxy_ssl_verify on; "
            + $"proxy_ssl_name {PairCertificates.ServerName}; proxy_ssl_session_reuse off;";
        string Server(Leg leg, string pass) =>
            $"server {{ listen 127.0.0.1:{leg.Listen}{(leg.TlsIn ? " ssl" : "")}; {(leg.TlsIn ? tlsIn : "")} {(leg.TlsOut ? tlsOut : "")} {pass} }}";
        var http = legs.Single(l => l.IsHttp);
        var location = $"location / {{ proxy_pass {(http.TlsOut ? "https" : "http")}://next; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}";
        var tcp = legs.Where(l => !l.IsHttp).Select(l => Server(l, $"proxy_pass 127.0.0.1:{l.Target};{(l.TlsOut ? " proxy_ssl on;" : "")}"));
        return $$"""
            load_module {{StreamModule}};
            worker_processes 1; daemon off; master_process off; pid {{folder}}/nginx.pid; error_log stderr warn;
            events { worker_connections 16384; }
            http { access_log off; keepalive_requests 100000000; keepalive_timeout 3600s;
              upstream next { server 127.0.0.1:{{http.Target}}; keepalive 128; keepalive_requests 100000000; }
              {{Server(http, location)}} }
            stream { {{string.Join("\n  ", tcp)}} }
            """;
    }
}

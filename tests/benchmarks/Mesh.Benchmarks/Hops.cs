using System.Globalization;

namespace Mesh.Benchmarks;

/// <summary>
/// How each proxy is run as a plain HTTP/1.1 hop: one worker, keep-alive on both sides, no access log, metrics on where it has them.
/// </summary>
internal static class Hops
{
    /// <summary>The peers that can be had here, by name.</summary>
    public static IReadOnlyList<string> Available =>
        Environment.GetEnvironmentVariable("MESH_BENCH_ENVOY") is { Length: > 0 } ? ["mesh", "haproxy", "nginx", "envoy"] : ["mesh", "haproxy", "nginx"];

    public static Subject Start(string name, int backend, string cores, string folder)
    {
        var port = Ports.Free();
        Directory.CreateDirectory(folder);
        var log = Path.Combine(folder, name + ".log");
        return name switch
        {
            "mesh" => StartMesh(port, backend, cores, folder, log),
            "haproxy" => Subject.Start(name, port, cores, log, "haproxy", "-f", Write(folder, "haproxy.cfg", Haproxy(port, backend))),
            "nginx" => Subject.Start(name, port, cores, log, "nginx", "-p", folder, "-c", Write(folder, "nginx.conf", Nginx(folder, port, backend))),
            "envoy" => Subject.Start(
                name, port, cores, log, Environment.GetEnvironmentVariable("MESH_BENCH_ENVOY")!, "-c", Write(folder, "envoy.yaml", Envoy(port, backend)),
                "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warn"),
            _ => throw new ArgumentOutOfRangeException(nameof(name), name, "no such peer"),
        };
    }

    /// <summary>An nginx that answers 100 bytes: the backend of every hop.</summary>
    public static Subject StartBackend(string cores, string folder)
    {
        var port = Ports.Free();
        Directory.CreateDirectory(folder);
        var config = Backend($"127.0.0.1:{port}", folder);
        return Subject.Start("backend", port, cores, Path.Combine(folder, "backend.log"), "nginx", "-p", folder, "-c", Write(folder, "backend.conf", config));
    }

    /// <summary>The configuration of such an nginx at an address.</summary>
    public static string Backend(string listen, string folder) => $$"""
        worker_processes 1; daemon off; master_process off; pid {{folder}}/backend.pid; error_log stderr warn;
        events { worker_connections 16384; }
        http { access_log off; keepalive_requests 100000000; keepalive_timeout 3600s;
          server { listen {{listen}} reuseport; location / { default_type text/plain; return 200 "{{new string('x', 100)}}"; } } }
        """;

    private static Subject StartMesh(int port, int backend, string cores, string folder, string log) =>
        Subject.Start(
            "mesh", port, cores, log, Environment.GetEnvironmentVariable("MESH_BENCH_SIDECAR")!,
            "--static", Write(folder, "mesh.yaml", StaticResources(port, backend)),
            "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--readiness", "127.0.0.1:0", "--access-log", "off");

    private static string Write(string folder, string name, string text)
    {
        var path = Path.Combine(folder, name);
        File.WriteAllText(path, text);
        return path;
    }

    private static string Haproxy(int port, int backend) => string.Create(CultureInfo.InvariantCulture, $"""
        global
          nbthread 1
          maxconn 8000
        defaults
          mode http
          timeout connect 5s
          timeout client 1h
          timeout server 1h
          http-reuse always
        frontend hop
          bind 127.0.0.1:{port}
          default_backend app
        backend app
          server app 127.0.0.1:{backend}

        """);

    private static string Nginx(string folder, int port, int backend) => $$"""
        worker_processes 1; daemon off; master_process off; pid {{folder}}/nginx.pid; error_log stderr warn;
        events { worker_connections 16384; }
        http { access_log off; keepalive_requests 100000000; keepalive_timeout 3600s;
          upstream app { server 127.0.0.1:{{backend}}; keepalive 128; keepalive_requests 100000000; }
          server { listen 127.0.0.1:{{port}}; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; } } }
        """;

    // Envoy's default circuit breakers (1024) would speak up under load; ours has none yet.
    private const string NoLimits = """
         "circuit_breakers": { "thresholds": [ { "max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000 } ] },
        """;

    private static string Envoy(int port, int backend) => "{ " + StaticResources(port, backend, NoLimits).Replace("\n", "\n  ", StringComparison.Ordinal).TrimStart() + " }";

    /// <summary>The same xDS resources serve our sidecar (--static) and Envoy.</summary>
    private static string StaticResources(int port, int backend, string limits = "") => $$"""
        "static_resources": {
          "listeners": [ { "name": "hop", "traffic_direction": "OUTBOUND",
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": {{port}} } },
            "filter_chains": [ { "filters": [ { "name": "hcm", "typed_config": {
              "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
              "stat_prefix": "hop",
              "http_filters": [ { "name": "router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } } ],
              "route_config": { "name": "hop", "virtual_hosts": [ { "name": "app", "domains": ["*"],
                "routes": [ { "match": { "prefix": "/" }, "route": { "cluster": "app", "timeout": "0s" } } ] } ] } } } ] } ] } ],
          "clusters": [ { "name": "app", "type": "STATIC", "connect_timeout": "5s",{{limits}}
            "load_assignment": { "cluster_name": "app", "endpoints": [ { "lb_endpoints": [
              { "endpoint": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": {{backend}} } } } } ] } ] } } ]
        }
        """;
}

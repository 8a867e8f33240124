namespace Mesh.Benchmarks;

/// <summary>One way through a proxy: where it listens, where it leads, and on which side it speaks mutual TLS.</summary>
internal sealed record Leg(string Name, bool IsHttp, int Listen, int Target, bool TlsIn = false, bool TlsOut = false)
{
    /// <summary>True when nobody said what is spoken there: HTTP or bytes, by detection.</summary>
    public bool Detects { get; init; }

    /// <summary>Address it listens on.</summary>
    public string ListenAddress { get; init; } = "127.0.0.1";

    /// <summary>Address it leads to.</summary>
    public string TargetAddress { get; init; } = "127.0.0.1";

    /// <summary>The destination, as the client meant it, that comes here by capture; null when clients connect to the port itself.</summary>
    public (string Address, int Port)? Captured { get; init; }

    /// <summary>True when it leads to wherever the client meant to go.</summary>
    public bool ToOriginal { get; init; }
}

/// <summary>
/// Two proxies in a row, as a call passes a client's and a server's sidecar. Five ways lead through both: HTTP/1.1, and TCP to the backend and to the sink,
/// over mutual TLS; and TCP to both in plaintext. Owned by the bench; disposing it ends both.
/// </summary>
internal sealed class Pair : IDisposable
{
    private readonly Subject client;
    private readonly Subject server;

    private Pair(string name, Subject client, Subject server, IReadOnlyList<Leg> legs)
    {
        (Name, this.client, this.server) = (name, client, server);
        Http = legs[0].Listen;
        Connect = legs[1].Listen;
        Stream = legs[2].Listen;
        Plain = legs[3].Listen;
        PlainConnect = legs[4].Listen;
    }

    public string Name { get; }

    /// <summary>Port of HTTP/1.1 to the backend over mutual TLS.</summary>
    public int Http { get; }

    /// <summary>Port of TCP to the backend over mutual TLS: a handshake for each connection.</summary>
    public int Connect { get; }

    /// <summary>Port of TCP to the sink over mutual TLS.</summary>
    public int Stream { get; }

    /// <summary>Port of TCP to the sink in plaintext.</summary>
    public int Plain { get; }

    /// <summary>Port of TCP to the backend in plaintext.</summary>
    public int PlainConnect { get; }

    /// <summary>Starts both ends and waits until every way answers.</summary>
    public static Pair Start(string name, int backend, int sink, string cores, string folder, PairCertificates certificates)
    {
        Leg[] farther =
        [
            new("http", true, Ports.Free(), backend, TlsIn: true),
            new("connect", false, Ports.Free(), backend, TlsIn: true),
            new("stream", false, Ports.Free(), sink, TlsIn: true),
            new("plain", false, Ports.Free(), sink),
            new("plain-connect", false, Ports.Free(), backend),
        ];
        var nearer = farther.Select(l => new Leg(l.Name, l.IsHttp, Ports.Free(), l.Listen, TlsOut: l.TlsIn)).ToArray();
        var ends = (Server: StartEnd("server", farther), Client: StartEnd("client", nearer));
        var pair = new Pair(name, ends.Client, ends.Server, nearer);
        foreach (var port in new[] { pair.Http, pair.Connect, pair.PlainConnect }) ends.Client.WaitForFirstResponse(System.Diagnostics.Stopwatch.StartNew(), port: port);
        return pair;

        Subject StartEnd(string end, IReadOnlyList<Leg> legs) =>
            PairPrograms.Start(name, end, legs, cores, Directory.CreateDirectory(Path.Combine(folder, name, end)).FullName, certificates);
    }

    /// <summary>CPU time of both so far, in microseconds.</summary>
    public double CpuMicroseconds() => client.CpuMicroseconds() + server.CpuMicroseconds();

    /// <summary>Private memory of both, in MB.</summary>
    public double PrivateMemory() => client.Memory().Private + server.Memory().Private;

    public void Dispose()
    {
        client.Dispose();
        server.Dispose();
    }
}

using System.Buffers.Binary;
using System.Text;
using Mesh.Sidecar.Listening;

namespace Mesh.Sidecar.Tests.Listening;

/// <summary>What clients of all kinds begin with, and what that is. Made of a seed.</summary>
internal sealed class MixedConnections(int seed)
{
    private const string Token = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";
    private readonly Random random = new(seed);

    private static string[] Methods { get; } = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "PROPFIND", "M-SEARCH", "PRIV"];

    /// <summary>What looks like HTTP and is not: each ends its line or breaks HTTP's rules, so nobody waits for more.</summary>
    private static string[] Resembling { get; } =
    [
        "HELO mail.example\r\n", "EHLO x\r\n", "GET / ICAP/1.0\r\n", "GET /\r\n", "GET / SMTP/1.0\r\n", "POST\r\n", "GET\r\n\r\n", "GET / http/1.1\r\n", "get key value\r\n",
        "set a 0 0 1\r\n", "PING\r\n", "USER anonymous\r\n", "SSH-2.0-OpenSSH_9\r\n", "NICK me\r\n", "CONNECT {\"verbose\":false}\r\n", "PUB a 2\r\nhi\r\n", "SUB foo 1\r\n", "GET /\0 HTTP/1.1\r\n",
        "GET / HTTP/1.1\u0001\r\n", " GET / HTTP/1.1\r\n", "G\u007fT / HTTP/1.1\r\n", "(GET) / HTTP/1.1\r\n", "PRI * HTTP\r\n", "RTSP/1.0 200 OK\r\n", "DESCRIBE rtsp://a RTSP/1.0\r\n",
        "\r\nGET / HTTP/1.1\r\n", "*1\r\n$4\r\nPING\r\n",
    ];

    /// <summary>The next one: its bytes and what they are, by protocol, not by our code.</summary>
    public (byte[] Bytes, Detected Is) Next() => random.Next(8) switch
    {
        0 => (Text($"{Method()} {Target()} HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n"), Detected.Http11),
        1 => (Text($"{Method()} {Target()} HTTP/1.0\r\nHost: web\r\nContent-Length: 0\r\n\r\n"), Detected.Http10),
        2 => ([.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, 0, 0, 0, 4, 0, 0, 0, 0, 0], Detected.Http2),
        3 => (Hello(), Detected.Tls),
        4 => (Frame(), Detected.Other),
        5 => (Binary(), Detected.Other),
        _ => (Text(Resembling[random.Next(Resembling.Length)]), Detected.Other),
    };

    /// <summary>What a server says first, and whether servers of HTTP may.</summary>
    public (byte[] Bytes, bool OfHttp) NextGreeting() => random.Next(8) switch
    {
        0 => (Text($"HTTP/1.{random.Next(2)} {random.Next(200, 600)} whatever\r\n\r\n"), true),
        1 => (Settings(), true),
        2 => ([21, 3, (byte)random.Next(5), 0, 2, 2, (byte)random.Next(120)], true),
        3 => (Mysql(), false),
        4 => (Text($"220 {Token[random.Next(Token.Length)]} ESMTP\r\n"), false),
        5 => (Text("INFO {\"server_id\":\"x\"}\r\n"), false),
        6 => (Text("SSH-2.0-OpenSSH_9.2\r\n"), false),
        _ => (Text("RFB 003.008\n"), false),
    };

    /// <summary>Cuts bytes as networks do: whole, somewhere, or each alone.</summary>
    public IEnumerable<byte[]> Cut(byte[] bytes)
    {
        var mode = random.Next(4);
        if (mode == 0) return [.. bytes.Select(b => new[] { b })];
        if (mode > 1 || bytes.Length < 2) return [bytes];
        var at = random.Next(1, bytes.Length);
        return [bytes[..at], bytes[at..]];
    }

    public int Number(int below) => random.Next(below);

    private static byte[] Text(string text) => Encoding.Latin1.GetBytes(text);

    private string Method() => random.Next(4) == 0 ? new string([.. Enumerable.Range(0, random.Next(1, 20)).Select(_ => Token[random.Next(52)])]) + "X" : Methods[random.Next(Methods.Length)];

    private string Target() => random.Next(3) switch
    {
        0 => "/",
        1 => "/" + new string('a', random.Next(1, 900)),
        _ => "/a?b=" + random.Next(),
    };

    /// <summary>A frame of a client-first protocol: length, number, content (Thrift, Kafka, PostgreSQL).</summary>
    private byte[] Frame()
    {
        var frame = new byte[random.Next(8, 200)];
        random.NextBytes(frame);
        BinaryPrimitives.WriteInt32BigEndian(frame, frame.Length - 4);
        return frame;
    }

    /// <summary>Anything that begins with what neither HTTP nor TLS begins with.</summary>
    private byte[] Binary()
    {
        var bytes = new byte[random.Next(1, 64)];
        random.NextBytes(bytes);
        while (bytes[0] == 22 || Token.Contains((char)bytes[0], StringComparison.Ordinal)) bytes[0] = (byte)random.Next(256);
        return bytes;
    }

    private byte[] Settings()
    {
        var count = random.Next(0, 7);
        var frame = new byte[9 + 6 * count];
        random.NextBytes(frame.AsSpan(9));
        (frame[2], frame[3]) = ((byte)(6 * count), 4);
        return frame;
    }

    private byte[] Mysql()
    {
        var packet = new byte[random.Next(20, 120)];
        random.NextBytes(packet);
        (packet[0], packet[1], packet[2], packet[3], packet[4]) = ((byte)(packet.Length - 4), 0, 0, 0, 10);
        return packet;
    }

    private byte[] Hello()
    {
        byte[] random32 = new byte[32];
        random.NextBytes(random32);
        byte[] alpn = random.Next(2) == 0 ? [] : [0, 16, 0, 5, 0, 3, 2, (byte)'h', (byte)'2'];
        byte[] filler = [0, 21, 0, 200, .. new byte[200]];
        byte[] extensions = [.. alpn, .. filler];
        byte[] body = [3, 3, .. random32, 0, 0, 2, 0x13, 1, 1, 0, (byte)(extensions.Length >> 8), (byte)extensions.Length, .. extensions];
        byte[] message = [1, 0, (byte)(body.Length >> 8), (byte)body.Length, .. body];
        return [22, 3, 1, (byte)(message.Length >> 8), (byte)message.Length, .. message];
    }
}

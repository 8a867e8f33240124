namespace Mesh.Sidecar.Http.Upstream;

/// <summary>
/// Takes a chunked body apart, strictly (RFC 9112 §7.1), wherever the pieces are cut. One per connection, reset for each body. No I/O.
/// </summary>
internal sealed class ChunkedBody
{
    private const int MaxLine = 4 * 1024;
    private const int MaxTrailerBytes = 16 * 1024;
    private Phase phase;
    private long left;
    private int trailerBytes;

    private enum Phase
    {
        Size,
        Data,
        DataEnd,
        Trailers,
        Done,
    }

    /// <summary>What a step found.</summary>
    public enum Step
    {
        /// <summary>Body bytes.</summary>
        Data,

        /// <summary>Bytes are missing.</summary>
        NeedMore,

        /// <summary>The body is complete.</summary>
        Done,

        /// <summary>Not chunked coding.</summary>
        Invalid,
    }

    /// <summary>Trailer fields read so far.</summary>
    public HeaderList Trailers { get; } = new();

    /// <summary>Begins a new body.</summary>
    public void Reset()
    {
        phase = Phase.Size;
        left = 0;
        trailerBytes = 0;
        Trailers.Clear();
    }

    /// <summary>Reads on in <paramref name="bytes"/>; <paramref name="consumed"/> of them are done with, the last ones being <paramref name="data"/>.</summary>
    public Step Read(ReadOnlySpan<byte> bytes, out int consumed, out ReadOnlySpan<byte> data)
    {
        consumed = 0;
        data = default;
        while (true)
        {
            var rest = bytes[consumed..];
            switch (phase)
            {
                case Phase.Data:
                    if (rest.IsEmpty) return Step.NeedMore;
                    data = rest[..(int)Math.Min(left, rest.Length)];
                    consumed += data.Length;
                    left -= data.Length;
                    if (left == 0) phase = Phase.DataEnd;
                    return Step.Data;
                case Phase.DataEnd:
                    if (rest.Length < 2) return rest.IsEmpty || rest[0] == '\r' ? Step.NeedMore : Step.Invalid;
                    if (!rest.StartsWith("\r\n"u8)) return Step.Invalid;
                    consumed += 2;
                    phase = Phase.Size;
                    break;
                case Phase.Done:
                    return Step.Done;
                default:
                    var line = Line(rest, out var whole);
                    if (line != Step.Data) return line;
                    consumed += whole + 2;
                    if (!(phase == Phase.Size ? ReadSize(rest[..whole]) : ReadTrailer(rest[..whole]))) return Step.Invalid;
                    break;
            }
        }
    }

    private static Step Line(ReadOnlySpan<byte> rest, out int length)
    {
        length = 0;
        var feed = rest.IndexOf((byte)'\n');
        if (feed < 0) return rest.Length > MaxLine ? Step.Invalid : Step.NeedMore;
        if (feed == 0 || feed > MaxLine || rest[feed - 1] != '\r') return Step.Invalid;
        length = feed - 1;
        return Step.Data;
    }

    /// <summary>Hexadecimal digits, then nothing or an extension, which is dropped.</summary>
    private bool ReadSize(ReadOnlySpan<byte> line)
    {
        var digits = 0;
        left = 0;
        while (digits < line.Length && char.IsAsciiHexDigit((char)line[digits]))
        {
            if (++digits > 15) return false;
            left = (left << 4) | HexValue(line[digits - 1]);
        }

        if (digits == 0) return false;
        var rest = line[digits..];
        if (!rest.IsEmpty && rest[0] != ';') return false;
        foreach (var b in rest)
        {
            if (b is < 0x20 and not (byte)'\t' or 0x7f) return false;
        }

        phase = left == 0 ? Phase.Trailers : Phase.Data;
        return true;
    }

    private static long HexValue(byte digit) => digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;

    private bool ReadTrailer(ReadOnlySpan<byte> line)
    {
        if (line.IsEmpty)
        {
            phase = Phase.Done;
            return true;
        }

        trailerBytes += line.Length;
        return trailerBytes <= MaxTrailerBytes && ResponseHead.ReadField(line, Trailers) is null;
    }
}

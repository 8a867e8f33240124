using System.IO.Pipelines;

namespace Mesh.Sidecar.Http.Upstream;

/// <summary>The body of an HTTP/1 answer as it comes: knows where it ends. One per connection, begun anew for each answer. No I/O.</summary>
internal sealed class AnswerBody
{
    private readonly ChunkedBody chunks = new();
    private BodyEnd end;
    private long left;

    /// <summary>Trailers, once the end was seen.</summary>
    public HeaderList Trailers => chunks.Trailers;

    /// <summary>Bytes still to come, -1 when only the end tells.</summary>
    public long Length => end switch { BodyEnd.None => 0, BodyEnd.Length => left, _ => -1 };

    /// <summary>True when the connection's end is the body's.</summary>
    public bool EndsWithConnection => end == BodyEnd.Close;

    /// <summary>Forgets the last answer.</summary>
    public void Reset()
    {
        end = BodyEnd.Close;
        chunks.Reset();
    }

    /// <summary>Begins the body of an answer.</summary>
    public void Begin(ResponseHead head, string method)
    {
        end = method == "HEAD" ? BodyEnd.None : head.End;
        left = head.Length;
    }

    /// <summary>Copies what was received; the bytes that follow the body stay where they are.</summary>
    public ChunkedBody.Step Copy(WireBuffer received, PipeWriter to, out int copied)
    {
        copied = 0;
        while (true)
        {
            var step = Next(received, out var consumed, out var data);
            to.Append(data);
            copied += data.Length;
            received.Consume(consumed);
            if (step != ChunkedBody.Step.Data) return step;
        }
    }

    private ChunkedBody.Step Next(WireBuffer received, out int consumed, out ReadOnlySpan<byte> data)
    {
        consumed = 0;
        data = default;
        if (end == BodyEnd.Chunks) return chunks.Read(received.Filled, out consumed, out data);
        if (end == BodyEnd.None || (end == BodyEnd.Length && left == 0)) return ChunkedBody.Step.Done;
        data = end == BodyEnd.Length && received.Count > left ? received.Filled[..(int)left] : received.Filled;
        consumed = data.Length;
        left -= consumed;
        return consumed == 0 ? ChunkedBody.Step.NeedMore : ChunkedBody.Step.Data;
    }
}

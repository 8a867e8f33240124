using System.IO.Pipelines;
using Mesh.Sidecar.Http;

namespace Mesh.Sidecar.Tests.Http;

public class PipeWritingTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(16)]
    [InlineData(1000)]
    public void BytesArriveWholeThoughTheWriterGivesLittleAndNothingUnasked(int length)
    {
        var writer = new Stingy();
        var bytes = Enumerable.Range(0, length).Select(i => (byte)i).ToArray();
        writer.Append(bytes);
        Assert.Equal(bytes, writer.Written);
    }

    /// <summary>As Kestrel's writer before its response starts, and after its client has gone: no size asked for, none given.</summary>
    private sealed class Stingy : PipeWriter
    {
        private readonly byte[] block = new byte[16];

        public List<byte> Written { get; } = [];

        public override Memory<byte> GetMemory(int sizeHint = 0) => sizeHint == 0 ? default : block;

        public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

        public override void Advance(int bytes) => Written.AddRange(block[..bytes]);

        public override void CancelPendingFlush() => throw new NotSupportedException();

        public override void Complete(Exception? exception = null) => throw new NotSupportedException();

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();
    }
}
